use serde_json::json;

use super::*;
use crate::task::{Stats, Status};

fn task(id: i64, arch: &str) -> Json {
    json!({
        "id": id, "arch": arch, "ref": {"url": "http://h/a-1-1.src.rpm", "ref_type": 3},
        "platform": {"name": "Local-1", "type": "rpm", "data": {"mock": {}}},
        "repositories": [], "is_secure_boot": false,
    })
}

fn queue() -> (tempfile::TempDir, Queue) {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(&dir.path().join("q")).unwrap();
    (dir, queue)
}

fn put(queue: &Queue, name: &str, text: &str) {
    fs::write(queue.path.join(TASKS).join(name), text).unwrap();
}

fn taken(queue: &Queue) -> (Option<i64>, Vec<String>) {
    let ask = GetTask::new("x86_64", true, Vec::new());
    let Taken { received, refused } = queue.take(&ask).unwrap();
    let id = match received {
        Received::Task(task, _) => Some(task.id),
        Received::Malformed(malformed, _) => malformed.id,
        Received::Nothing => None,
    };
    (id, refused)
}

fn done(task_id: i64) -> BuildDone {
    BuildDone {
        task_id,
        status: Status::Done,
        artifacts: Vec::new(),
        stats: Stats::default(),
        git_commit_hash: None,
        is_cas_authenticated: false,
        alma_commit_cas_hash: None,
    }
}

#[test]
fn tasks_go_from_here_to_their_reports() {
    let (_dir, queue) = queue();
    assert_eq!(taken(&queue), (None, Vec::new()));
    put(&queue, "b.json", &task(1, "x86_64").to_string());
    put(&queue, "a.json", &task(2, "src").to_string());
    put(&queue, "0.json", &task(3, "s390x").to_string());
    put(&queue, ".c.json", "half");
    assert_eq!(taken(&queue), (Some(2), Vec::new()));
    assert_eq!(taken(&queue), (Some(1), Vec::new()));
    assert_eq!(taken(&queue), (None, Vec::new()), "the rest is not for this architecture");
    assert_eq!(queue.report(&done(1)).unwrap(), Delivered::Queued);
    assert_eq!(queue.report(&done(1)).unwrap(), Delivered::Known);
    let text = fs::read_to_string(queue.report_of(1)).unwrap();
    assert!(text.contains("\"status\": \"done\""), "{text}");
    assert_eq!(queue.names(TAKEN).unwrap(), ["2.json"]);
}

#[test]
fn what_nothing_can_be_reported_of_is_put_aside() {
    let (_dir, queue) = queue();
    queue.report(&done(7)).unwrap();
    put(&queue, "1.json", "{");
    put(&queue, "2.json", "{\"id\": \"x\"}");
    put(&queue, "3.json", &task(7, "x86_64").to_string());
    put(&queue, "4.json", "{\"id\": 8}");
    let (id, refused) = taken(&queue);
    assert_eq!(id, Some(8), "that it is malformed is reported");
    let reasons = ["it is no JSON", "its id is no number", "there is a report of task 7 already"];
    assert_eq!(refused.len(), reasons.len(), "{refused:?}");
    for (told, reason) in refused.iter().zip(reasons) {
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(queue.names(REFUSED).unwrap(), ["1.json", "2.json", "3.json"]);
}

#[test]
fn what_nobody_holds_is_there_again() {
    let (_dir, queue) = queue();
    for id in [1, 2, 3] {
        put(&queue, &format!("{id}.json"), &task(id, "x86_64").to_string());
        taken(&queue);
    }
    // Its node ended between the report and the removal.
    fs::write(queue.report_of(3), "{}").unwrap();
    queue.put_back(|id| id == 2).unwrap();
    assert_eq!(queue.names(TASKS).unwrap(), ["1.json"]);
    assert_eq!(queue.names(TAKEN).unwrap(), ["2.json"]);
}

#[test]
fn artifacts_lie_by_their_names() {
    let (dir, queue) = queue();
    let file = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let sha256 = checksum::of(content.as_bytes());
        LocalFile { path, size: content.len() as u64, sha256 }
    };
    let package = file("a-1-1.noarch.rpm", "package");
    assert_eq!(queue.keep(&package).unwrap().as_deref(), Some("packages/a-1-1.noarch.rpm"));
    assert_eq!(queue.keep(&file("m.1.log", "log")).unwrap().as_deref(), Some("logs/m.1.log"));
    let changed = file("a-1-1.noarch.rpm", "other");
    fs::write(&changed.path, "more").unwrap();
    assert_eq!(queue.keep(&changed).unwrap(), None);
    let kept = queue.path.join("packages/a-1-1.noarch.rpm");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "package");
    assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::read_dir(queue.path.join(PACKAGES)).unwrap().count(), 1);
}
