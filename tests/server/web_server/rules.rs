//! What the server does with tasks and reports.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Nobody has it.
    Idle,
    /// A node has it.
    Started,
    /// It is over, with this status.
    Over(String),
}

struct Row {
    task: Json,
    state: TaskState,
    /// Last sign of life; may lie ahead.
    seen: Instant,
    /// How often it was given out.
    given: u32,
    reports: Vec<Json>,
}

/// All tasks.
#[derive(Default)]
pub struct State {
    rows: Vec<Row>,
    queue: Vec<(Instant, Json)>,
}

impl State {
    pub fn add(&mut self, task: Json) {
        let seen = Instant::now();
        self.rows.push(Row { task, state: TaskState::Idle, seen, given: 0, reports: Vec::new() });
        self.rows.sort_by_key(|row| row.task["id"].as_i64());
    }

    pub fn task(&self, id: i64) -> TaskState {
        let row = self.rows.iter().find(|row| row.task["id"] == id);
        row.map_or(TaskState::Idle, |row| row.state.clone())
    }

    pub fn processed(&self, id: i64) -> Vec<Json> {
        let row = self.rows.iter().find(|row| row.task["id"] == id);
        row.map(|row| row.reports.clone()).unwrap_or_default()
    }

    /// `get_task`: status and answer.
    pub fn get_task(&mut self, body: &Json, now: Instant, silence: Duration) -> (u16, Json) {
        let texts = |name: &str| -> Vec<String> {
            let items = body[name].as_array().into_iter().flatten();
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
        };
        let arches = texts("supported_arches");
        let excluded = texts("excluded_packages");
        if arches == ["src"] || excluded.len() >= 40_000 {
            return (500, Json::Null);
        }
        for row in &mut self.rows {
            if row.state == TaskState::Started && now.saturating_duration_since(row.seen) > silence
            {
                row.state = TaskState::Idle;
            }
        }
        let free = (0..self.rows.len()).find(|index| {
            let row = &self.rows[*index];
            let url = row.task["ref"]["url"].as_str().unwrap_or_default().to_lowercase();
            let arch = row.task["arch"].as_str().unwrap_or_default();
            row.state == TaskState::Idle
                && arches.iter().any(|known| known == arch)
                && !excluded.iter().any(|part| url.contains(&part.to_lowercase()))
                && !self.waits(row)
        });
        let Some(index) = free else { return (200, Json::Null) };
        let row = &mut self.rows[index];
        row.state = TaskState::Started;
        row.seen = now;
        row.given += 1;
        let mut task = row.task.clone();
        // The repositories of a source package are those of what comes first.
        if task["arch"] == "src" {
            let first = arches.iter().find(|arch| *arch != "src").cloned().unwrap_or_default();
            for repository in task["repositories"].as_array_mut().into_iter().flatten() {
                let url = repository["url"].as_str().unwrap_or_default().replace("$arch", &first);
                repository["url"] = json!(url);
            }
        }
        (200, task)
    }

    /// Whether the source package of a task is not made yet.
    fn waits(&self, row: &Row) -> bool {
        row.task["arch"] != "src"
            && self.rows.iter().any(|other| {
                other.task["arch"] == "src"
                    && is_same_source(&other.task, &row.task)
                    && !matches!(other.state, TaskState::Over(_))
            })
    }

    pub fn ping(&mut self, body: &Json, now: Instant) -> (u16, Json) {
        let ids: Vec<i64> = body["active_tasks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Json::as_i64)
            .collect();
        if ids.iter().any(|id| *id > i64::from(i32::MAX)) {
            return (500, Json::Null);
        }
        for row in &mut self.rows {
            if row.task["id"].as_i64().is_some_and(|id| ids.contains(&id)) {
                row.seen = now;
            }
        }
        (200, json!({"ok": true}))
    }

    pub fn build_done(&mut self, body: &Json, now: Instant, silence: Duration) -> (u16, Json) {
        let Some(row) = self.rows.iter_mut().find(|row| row.task["id"] == body["task_id"]) else {
            return (500, Json::Null);
        };
        if matches!(row.state, TaskState::Over(_)) {
            return (409, json!({"ok": false}));
        }
        row.seen = now + silence * 9;
        self.queue.push((now, body.clone()));
        (200, json!({"ok": true}))
    }

    /// Processes reports that have waited long enough.
    pub fn work(&mut self, now: Instant, delay: Duration) {
        let (due, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|(since, _)| *since + delay <= now);
        self.queue = wait;
        for (_, report) in due {
            self.process(report);
        }
    }

    fn process(&mut self, report: Json) {
        let Some(row) = self.rows.iter_mut().find(|row| row.task["id"] == report["task_id"]) else {
            return;
        };
        let names: Vec<&str> = report["artifacts"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|artifact| artifact["type"] == "rpm")
            .filter_map(|artifact| artifact["name"].as_str())
            .collect();
        let srpm = names.iter().find(|name| name.ends_with(".src.rpm"));
        let is_complete =
            names.is_empty() || srpm.is_some() || row.task["built_srpm_url"].is_string();
        let start = &report["stats"]["build_node_task"]["start_ts"];
        let has_time = start.as_str().is_none_or(is_time);
        let told = report["status"].as_str().unwrap_or_default();
        let status = if is_complete && has_time { told } else { "failed" }.to_owned();
        let source = row.task.clone();
        let (made, commit) = (srpm.is_some(), report["git_commit_hash"].clone());
        row.state = TaskState::Over(status.clone());
        row.reports.push(report);
        if source["arch"] != "src" {
            return;
        }
        for other in self.rows.iter_mut().filter(|row| row.task["arch"] != "src") {
            if is_same_source(&other.task, &source) {
                other.task["ref"]["git_commit_hash"] = commit.clone();
                if status == "failed" && !made {
                    other.state = TaskState::Over("failed".to_owned());
                }
            }
        }
    }
}

fn is_same_source(a: &Json, b: &Json) -> bool {
    a["build_id"] == b["build_id"] && a["ref"]["url"] == b["ref"]["url"]
}

/// `2026-05-01 10:00:00.123456`
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00 00:00:00.000000"
}
