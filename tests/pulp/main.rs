//! Uploads to a real Pulp, also through nginx with the limits of production, through connections
//! that break, and read back with dnf.
//!
//! `eval "$(scripts/pulp up --nginx)"` starts one and tells where it is, by the variables PULP_HOST,
//! PULP_NGINX, PULP_USER and PULP_PASSWORD; without, the tests skip with the reason, and fail where
//! the variable CI is set. ALBS_NODE_LARGE_MIB is the size of the large file, 300 by default.

mod fixture;
mod published;
mod reader;
mod relay;

use std::time::{Duration, Instant};

use albs_node::causes::with_causes;
use albs_node::retry::Trouble;
use albs_node::upload::{LocalFile, Pulp, Step, Wanted};
use fixture::{Fixture, MIB, PATIENT, QUICK, wanted};
use relay::Relay;

#[tokio::test]
async fn small_files_go_at_once_and_only_once() {
    let Some(fixture) = Fixture::get() else { return };
    let pulp = fixture.pulp();
    let file = wanted(&fixture.file(6231)).await;
    let quiet = |_: Step<'_>| panic!("nothing is to be written down");
    let first = pulp.upload(&file, &QUICK, &quiet).await.unwrap();
    assert!(!first.was_there && first.href.starts_with("/pulp/api/v3/artifacts/"));
    assert_eq!(fixture.artifact(&first.href)["sha256"], file.file.sha256);
    let second = fixture.pulp().upload(&file, &QUICK, &quiet).await.unwrap();
    assert_eq!((second.href, second.was_there), (first.href, true));
}

#[tokio::test]
async fn large_files_go_in_chunks_side_by_side() {
    let Some(fixture) = Fixture::get() else { return };
    let pulp = fixture.pulp_with(|options| {
        (options.chunk_bytes, options.whole_bytes) = (MIB, MIB);
    });
    let file = wanted(&fixture.file(20 * MIB + 17)).await;
    let steps = std::sync::Mutex::new(Vec::new());
    let journal = |step: Step<'_>| steps.lock().unwrap().push(format!("{step:?}"));
    let uploaded = pulp.upload(&file, &QUICK, &journal).await.unwrap();
    let steps = steps.into_inner().unwrap();
    assert!(steps.len() == 2 && steps[0].contains("/uploads/") && steps[1] == "Ended", "{steps:?}");
    let artifact = fixture.artifact(&uploaded.href);
    assert_eq!(artifact["sha256"], file.file.sha256);
    assert_eq!(artifact["size"], file.file.size);
    let again = pulp.upload(&file, &QUICK, &|_| {}).await.unwrap();
    assert_eq!((again.href, again.was_there), (uploaded.href, true));
}

#[tokio::test]
async fn sizes_at_the_edges() {
    let Some(fixture) = Fixture::get() else { return };
    let pulp = fixture.pulp_with(|options| {
        (options.chunk_bytes, options.whole_bytes) = (MIB, MIB);
    });
    for size in [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB] {
        let file = wanted(&fixture.file(size)).await;
        let uploaded = pulp.upload(&file, &QUICK, &|_| {}).await.unwrap();
        assert_eq!(fixture.artifact(&uploaded.href)["size"], size);
    }
}

#[tokio::test]
async fn a_race_is_won_by_everybody() {
    let Some(fixture) = Fixture::get() else { return };
    for size in [5000, 3 * MIB] {
        let file = wanted(&fixture.file(size)).await;
        let racers: Vec<Pulp> = (0..4)
            .map(|_| {
                fixture.pulp_with(|options| {
                    (options.chunk_bytes, options.whole_bytes) = (MIB, MIB);
                })
            })
            .collect();
        let uploads = racers.iter().map(|pulp| pulp.upload(&file, &QUICK, &|_| {}));
        let results = futures_util::future::join_all(uploads).await;
        let hrefs: Vec<String> = results.into_iter().map(|result| result.unwrap().href).collect();
        assert!(hrefs.iter().all(|href| *href == hrefs[0]), "{hrefs:?}");
    }
}

#[tokio::test]
async fn files_that_have_changed_are_told_and_harm_no_others() {
    let Some(fixture) = Fixture::get() else { return };
    let pulp = fixture.pulp_with(|options| {
        (options.chunk_bytes, options.whole_bytes) = (MIB, MIB);
    });
    let mut files = Vec::new();
    for size in [1000, 2000, 3 * MIB, 3000, 4000, 2 * MIB] {
        files.push(wanted(&fixture.file(size)).await);
    }
    // Other content of the same size, in one request and in chunks; shorter; and gone.
    std::fs::write(&files[1].file.path, vec![b'x'; 2000]).unwrap();
    std::fs::write(&files[2].file.path, vec![b'x'; 3 * MIB as usize]).unwrap();
    std::fs::write(&files[3].file.path, b"short").unwrap();
    std::fs::remove_file(&files[4].file.path).unwrap();
    let results = pulp.upload_all(&files, &QUICK, &|_, _| {}).await;
    assert_eq!(results.len(), files.len());
    for (index, result) in results.iter().enumerate() {
        match (index, result) {
            (0 | 5, Ok(uploaded)) => {
                let artifact = fixture.artifact(&uploaded.href);
                assert_eq!(artifact["sha256"], files[index].file.sha256);
            }
            (1..=4, Err(error)) => {
                assert_eq!(error.trouble(), Trouble::Final);
                let wanted = if index == 4 { "cannot read it" } else { "not the file any more" };
                assert!(with_causes(error).contains(wanted), "{}", with_causes(error));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_broke_off_is_continued() {
    let Some(fixture) = Fixture::get() else { return };
    let relay = Relay::start(fixture.address()).await;
    let size = 16 * MIB;
    let through = |workers| {
        fixture.pulp_with(|options| {
            options.host = relay.url();
            (options.chunk_bytes, options.whole_bytes) = (MIB, MIB);
            options.workers = workers;
        })
    };
    let mut file = wanted(&fixture.file(size)).await;
    relay.cut_after(size / 2);
    let begun = std::sync::Mutex::new(None);
    let journal = |step: Step<'_>| {
        if let Step::Begun { href } = step {
            *begun.lock().unwrap() = Some(href.to_owned());
        }
    };
    // Whoever uploads is killed.
    let first = through(2);
    let upload = first.upload(&file, &PATIENT, &journal);
    tokio::time::timeout(Duration::from_secs(30), async {
        tokio::select! {
            _ = upload => panic!("it has ended"),
            () = relay.is_cut() => {}
        }
    })
    .await
    .unwrap();
    file.resume = begun.lock().unwrap().clone();
    assert!(file.resume.is_some());
    let before = relay.mend();
    let uploaded = through(4).upload(&file, &QUICK, &|_| {}).await.unwrap();
    assert!(!uploaded.was_there);
    assert_eq!(fixture.artifact(&uploaded.href)["sha256"], file.file.sha256);
    // Half of it, and the chunks that were cut.
    let sent = relay.sent() - before;
    assert!(sent < size * 3 / 4, "{sent} bytes were sent again of {size}");
}

#[tokio::test]
async fn uploads_that_are_gone_are_begun_anew() {
    let Some(fixture) = Fixture::get() else { return };
    let pulp = fixture.pulp_with(|options| options.whole_bytes = MIB);
    let mut file = wanted(&fixture.file(2 * MIB)).await;
    let nobody = "/pulp/api/v3/uploads/01234567-89ab-7def-8123-456789abcdef/";
    file.resume = Some(nobody.to_owned());
    let uploaded = pulp.upload(&file, &QUICK, &|_| {}).await.unwrap();
    assert_eq!(fixture.artifact(&uploaded.href)["sha256"], file.file.sha256);
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let Some(fixture) = Fixture::get() else { return };
    let relay = Relay::start(fixture.address()).await;
    let pulp = fixture.pulp_with(|options| {
        options.host = relay.url();
        (options.chunk_bytes, options.whole_bytes) = (MIB, MIB);
    });
    let file = wanted(&fixture.file(6 * MIB)).await;
    relay.cut_after(2 * MIB);
    let failed = std::sync::Mutex::new(Vec::new());
    let journal = |step: Step<'_>| {
        if let Step::Failed { error, .. } = step {
            failed.lock().unwrap().push(with_causes(error));
        }
    };
    let upload = pulp.upload(&file, &PATIENT, &journal);
    let back = async {
        relay.is_cut().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        relay.mend();
    };
    let (uploaded, ()) = tokio::join!(upload, back);
    assert_eq!(fixture.artifact(&uploaded.unwrap().href)["sha256"], file.file.sha256);
    let failed = failed.into_inner().unwrap();
    assert!(!failed.is_empty() && failed.iter().all(|text| text.contains("got no answer")));
}

#[tokio::test]
async fn who_may_not_is_told_so() {
    let Some(fixture) = Fixture::get() else { return };
    let file = wanted(&fixture.file(100)).await;
    fixture.create_user("nobody-special", "a-long-password-1");
    for (user, password, status, hint) in [
        ("admin", "wrong", 401, "pulp_password is wrong"),
        ("nobody-special", "a-long-password-1", 403, "administrators"),
    ] {
        let pulp = fixture.pulp_with(|options| {
            options.user = user.to_owned();
            options.password = albs_node::secret::Secret::new(password);
        });
        let seen = std::sync::Mutex::new(None);
        let journal = |step: Step<'_>| {
            if let Step::Failed { error, .. } = step {
                let hint = error.hint().unwrap_or_default();
                *seen.lock().unwrap() = Some((error.trouble(), with_causes(error), hint));
            }
        };
        // Somebody may correct it: it is tried again, but not soon.
        let upload = pulp.upload(&file, &PATIENT, &journal);
        assert!(tokio::time::timeout(Duration::from_secs(5), upload).await.is_err());
        let (trouble, text, seen) = seen.into_inner().unwrap().expect("a failed try");
        assert_eq!(trouble, Trouble::Operator);
        assert!(
            text.contains(&format!("gives {status}: ")) && seen.contains(hint),
            "{text} {seen}"
        );
        assert!(!text.contains(password));
    }
}

#[tokio::test]
async fn nginx_wants_small_requests() {
    let Some(fixture) = Fixture::get() else { return };
    let Some(nginx) = fixture.nginx() else { return };
    // Ours are small enough.
    let usual = fixture.pulp_with(|options| options.host = nginx.clone());
    // In one piece it is too large, in these chunks as well.
    let greedy = fixture.pulp_with(|options| {
        options.host = nginx.clone();
        (options.chunk_bytes, options.whole_bytes) = (15 * MIB, 15 * MIB);
    });
    for (pulp, size) in [(&usual, 12 * MIB), (&greedy, 12 * MIB), (&greedy, 33 * MIB)] {
        let file = wanted(&fixture.file(size)).await;
        let uploaded = pulp.upload(&file, &QUICK, &|_| {}).await.unwrap();
        assert_eq!(fixture.artifact(&uploaded.href)["sha256"], file.file.sha256);
    }
}

#[tokio::test]
async fn a_very_large_file_needs_little_memory() {
    let Some(fixture) = Fixture::get() else { return };
    let mib = std::env::var("ALBS_NODE_LARGE_MIB").map_or(300, |text| text.parse().unwrap());
    let path = fixture.sparse(mib * MIB);
    let begin = Instant::now();
    let file = LocalFile::measure(&path).await.unwrap();
    let measured = begin.elapsed();
    let wanted = Wanted { file, resume: None };
    let uploaded = fixture.pulp().upload(&wanted, &QUICK, &|_| {}).await.unwrap();
    let took = begin.elapsed() - measured;
    assert_eq!(fixture.artifact(&uploaded.href)["size"], mib * MIB);
    // That of all tests of this process together.
    let peak = fixture::peak_memory();
    eprintln!(
        "{mib} MiB: checksum {:.1} s, upload {:.1} s, peak memory {} MiB",
        measured.as_secs_f64(),
        took.as_secs_f64(),
        peak / MIB
    );
    assert!(peak < 128 * MIB, "{} MiB of memory", peak / MIB);
}

#[tokio::test]
async fn many_small_files() {
    let Some(fixture) = Fixture::get() else { return };
    let mut files = Vec::new();
    for _ in 0..30 {
        files.push(wanted(&fixture.file(1024)).await);
    }
    let begin = Instant::now();
    let results = fixture.pulp().upload_all(&files, &QUICK, &|_, _| {}).await;
    eprintln!("30 files of 1 KiB: {:.1} s", begin.elapsed().as_secs_f64());
    assert!(results.iter().all(|result| result.as_ref().is_ok_and(|file| !file.was_there)));
}
