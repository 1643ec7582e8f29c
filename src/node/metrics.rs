//! What the node counts, for Prometheus, and whether it is well.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use super::journal::Progress;
use super::{Node, Stop};
use crate::task::Status;

/// One label.
type Label = [(&'static str, String); 1];

/// Longest time for one question.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everything that is counted over a node's life.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) taken: Counter,
    reported: Family<Label, Counter>,
    verdicts: Family<Label, Counter>,
    pub(crate) again: Counter,
    stages: Family<Label, Histogram>,
    buildroots: Family<Label, Counter>,
    cpu: Counter<f64, std::sync::atomic::AtomicU64>,
    written: Counter,
    pub(crate) uploaded_bytes: Counter,
    pub(crate) upload_retries: Counter,
    now: Now,
}

/// What is looked at when it is asked for.
#[derive(Debug, Default)]
struct Now {
    slots: Gauge,
    free: Gauge,
    taking: Gauge,
    held: Family<Label, Gauge>,
    outbox_age: Gauge,
    resident: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        // From a stage of the warm path to a kernel.
        let seconds =
            || Histogram::new([0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4]);
        let mut metrics = Metrics {
            registry: Registry::with_prefix("albs_node"),
            taken: Counter::default(),
            reported: Family::default(),
            verdicts: Family::default(),
            again: Counter::default(),
            stages: Family::new_with_constructor(seconds),
            buildroots: Family::default(),
            cpu: Counter::default(),
            written: Counter::default(),
            uploaded_bytes: Counter::default(),
            upload_retries: Counter::default(),
            now: Now::default(),
        };
        let (now, all) = (&metrics.now, &mut metrics.registry);
        all.register("slots", "Builds that can run", now.slots.clone());
        all.register("slots_free", "Builds more that can run now", now.free.clone());
        all.register("taking", "Whether tasks are asked for", now.taking.clone());
        all.register("tasks_held", "Tasks that are not reported yet", now.held.clone());
        let help = "How long the oldest task is built and not reported";
        all.register("outbox_age_seconds", help, now.outbox_age.clone());
        all.register("resident_bytes", "Memory of the node itself", now.resident.clone());
        all.register("tasks_taken", "Tasks that were taken", metrics.taken.clone());
        all.register("tasks_reported", "Tasks that were reported", metrics.reported.clone());
        all.register("verdicts", "Why tasks ended as they did", metrics.verdicts.clone());
        all.register("builds_again", "Builds that were begun again", metrics.again.clone());
        all.register("stage_seconds", "Time of stages", metrics.stages.clone());
        all.register("buildroots", "Roots that builds got", metrics.buildroots.clone());
        all.register("cpu_seconds", "Processor time of builds", metrics.cpu.clone());
        all.register("written_bytes", "Bytes that builds wrote", metrics.written.clone());
        let uploaded = metrics.uploaded_bytes.clone();
        all.register("uploaded_bytes", "Bytes that were uploaded", uploaded);
        let retries = metrics.upload_retries.clone();
        all.register("upload_retries", "Uploads that were tried again", retries);
        metrics
    }
}

impl Metrics {
    /// A task is reported.
    pub(super) fn reported(&self, status: Status, progress: &Progress) {
        self.reported.get_or_create(&[("status", name(status).to_owned())]).inc();
        let Some((_, done)) = &progress.built else { return };
        let class = done.reason.as_ref().map_or("success", |reason| reason.class.as_str());
        self.verdicts.get_or_create(&[("class", class.to_owned())]).inc();
        for (stage, seconds) in &done.bill.stages {
            self.stages.get_or_create(&[("stage", stage.clone())]).observe(*seconds);
        }
        if let Some(reused) = done.bill.root_reused {
            let how = if reused { "found" } else { "made" };
            self.buildroots.get_or_create(&[("how", how.to_owned())]).inc();
        }
        self.cpu.inc_by(done.bill.cpu_us as f64 / 1e6);
        self.written.inc_by(done.bill.io_write_bytes);
    }

    /// Tasks that were reported with this status.
    pub(super) fn of_status(&self, status: Status) -> u64 {
        self.reported.get_or_create(&[("status", name(status).to_owned())]).get()
    }

    /// Everything as text.
    fn text(&self, node: &Node) -> String {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let now = &self.now;
        now.slots.set(i64::try_from(node.current().config.threads_count).unwrap_or(i64::MAX));
        now.free.set(count(node.free_slots()));
        let refusal = node.refusal.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        now.taking.set(i64::from(!refusal && node.stopping() == Stop::No));
        let built: Vec<Option<Timestamp>> = node
            .tasks()
            .values()
            .map(|held| held.kept.progress().built.map(|(since, _)| since))
            .collect();
        let delivering = built.iter().flatten().count();
        let held = |state: &str| now.held.get_or_create_owned(&[("state", state.to_owned())]);
        held("building").set(count(built.len() - delivering));
        held("delivering").set(count(delivering));
        let oldest = built.iter().flatten().min();
        now.outbox_age
            .set(oldest.map_or(0, |since| Timestamp::now().duration_since(*since).as_secs()));
        now.resident.set(resident());
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Excluded => "excluded",
    }
}

/// Bytes of memory of this process (proc_pid_statm(5)).
fn resident() -> i64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: i64 = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    pages * size.unwrap_or(4096)
}

pub(super) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Answers until it is aborted.
pub(super) async fn serve(node: Arc<Node>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let node = node.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| {
                let answer = answer(&node, &request);
                async { Ok::<_, Infallible>(answer) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
            let talk = server.serve_connection(TokioIo::new(stream), answer);
            let _ = tokio::time::timeout(PATIENCE, talk).await;
        });
    }
}

fn answer(node: &Node, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, kind, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (
            StatusCode::OK,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            node.metrics.text(node),
        ),
        (&Method::GET, "/healthz") => match node.stopping() {
            Stop::No => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "stopping\n".to_owned()),
        },
        _ => (StatusCode::NOT_FOUND, "text/plain", "/metrics and /healthz are here\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
