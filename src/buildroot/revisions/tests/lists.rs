//! Lists of mirrors and metalinks.

use super::server::{Reply, Server, document, index, text};
use super::*;

/// A metalink with these checksums of the index, each with its type, and these addresses.
fn metalink(sums: &[(&str, String)], urls: &[String]) -> String {
    let sums = sums.iter().map(|(kind, sum)| format!("<hash type=\"{kind}\">{sum}</hash>"));
    let urls = urls.iter().enumerate().map(|(place, url)| {
        format!("<url protocol=\"http\" preference=\"{}\">{url}</url>", 100 - place)
    });
    format!(
        "<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\"><files>\
         <file name=\"repomd.xml\"><verification>{}</verification>\
         <resources>{}</resources></file></files></metalink>",
        sums.collect::<String>(),
        urls.collect::<String>()
    )
}

fn sha512(content: &str) -> String {
    use sha2::Digest;
    sha2::Sha512::digest(index(content)).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_next_address_is_asked() {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.repository("/good", "1", "\"one\"");
    server.set("/broken/repodata/repomd.xml", text("<html>log in here</html>"));
    server.set("/cut/repodata/repomd.xml", Reply::Cut(index("1")));
    // Nobody listens at the first.
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let conf = format!(
        "[a]\nbaseurl=http://{dead}/ ftp://h/r, {}\n  {}\n  {}\n  {}\n",
        server.url("/missing"),
        server.url("/broken"),
        server.url("/cut"),
        server.url("/good"),
    );
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::Fetched);
    assert_eq!(server.targets().last().unwrap(), "/good/repodata/repomd.xml");
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::NotModified);
}

#[test]
fn mirrors_of_a_list() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let mirror = |name: &str| server.url(&format!("/{name}/$basearch/"));
    let list = |names: [&str; 3]| text(&format!("# mirrors\n{}\n", names.map(mirror).join("\n")));
    server.set("/list?arch=x86_64", list(["missing", "second", "third"]));
    server.repository("/second/x86_64", "1", "\"one\"");
    server.repository("/third/x86_64", "old", "\"zero\"");
    let conf = format!("[a]\nmirrorlist={}?arch=$basearch\n", server.url("/list"));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::Fetched);
    let asked = server.targets();
    let index = |name: &str| format!("/{name}/x86_64/repodata/repomd.xml");
    assert_eq!(asked, ["/list?arch=x86_64", &index("missing"), &index("second")]);
    // The one that answered is asked first, in whatever order the list is.
    server.set("/list?arch=x86_64", list(["third", "missing", "second"]));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::NotModified);
    assert_eq!(server.targets(), ["/list?arch=x86_64", &index("second")]);
    // It is gone.
    server.set("/list?arch=x86_64", list(["third", "missing", "fourth"]));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "old"), How::Fetched);
}

#[test]
fn lists_that_do_not_help() {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.set("/empty", text("<html>welcome</html>"));
    server.repository("/base", "1", "\"one\"");
    let conf = format!("[a]\nmirrorlist={}\n", server.url("/empty"));
    let error = bench.of(&conf).unwrap_err();
    insta::assert_snapshot!("list_without_mirrors", told(&error, &server, &bench));
    let with_base = format!("{conf}baseurl={}\n", server.url("/base"));
    assert_eq!(learned(&bench.of(&with_base).unwrap(), "a", "1"), How::Fetched);
    // Only some mirrors are tried.
    let many: Vec<String> = (0..30).map(|number| server.url(&format!("/{number}"))).collect();
    server.set("/empty", text(&many.join("\n")));
    server.requests();
    bench.of(&conf).unwrap_err();
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn a_list_of_this_host_may_name_files() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let local = bench.local("r", "1").display().to_string();
    server.set("/list", text(&format!("file://{local}\n")));
    let conf = format!("[a]\nmirrorlist={}\n", server.url("/list"));
    let error = bench.of(&conf).unwrap_err();
    insta::assert_snapshot!("file_in_a_list", told(&error, &server, &bench));
    let list = bench.directory.path().join("list");
    std::fs::write(&list, format!("{local}\n")).unwrap();
    let conf = format!("[a]\nmirrorlist=file://{}\n", list.display());
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::Local);
}

#[test]
fn a_metalink_tells_the_checksum() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let told =
        |content: &str| metalink(&[("sha256", checksum::of(index(content).as_bytes()))], &[]);
    let reply = |content: &str, etag| Reply::Document { body: told(content), etag, modified: None };
    server.set("/m?repo=a", reply("1", Some("\"one\"")));
    let conf = format!("[a]\nmetalink={}\n", server.url("/m?repo=a"));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::Metalink);
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::NotModified);
    server.set("/m?repo=a", reply("2", Some("\"two\"")));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "2"), How::Metalink);
    assert_eq!(server.targets(), ["/m?repo=a"; 3]);
    let stored = bench.directory.path().join("metalink.xml");
    std::fs::write(&stored, told("3")).unwrap();
    let conf = format!("[a]\nmirrorlist=file://{}\n", stored.display());
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "3"), How::Metalink);
}

#[test]
fn a_metalink_without_that_checksum() {
    let (mut bench, server) = (Bench::new(), Server::start());
    let urls = ["/old", "/new"].map(|path| server.url(&format!("{path}/repodata/repomd.xml")));
    server.repository("/old", "1", "\"one\"");
    server.repository("/new", "2", "\"two\"");
    server.set("/m", text(&metalink(&[("sha512", sha512("2"))], &urls)));
    let conf = format!("[a]\nmetalink={}\n", server.url("/m"));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "2"), How::Fetched);
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "2"), How::NotModified);
    server.set("/m", text(&metalink(&[], &[])));
    let error = bench.of(&conf).unwrap_err();
    insta::assert_snapshot!("empty_metalink", super::told(&error, &server, &bench));
}

#[test]
fn where_redirections_may_lead() {
    let (mut bench, server) = (Bench::new(), Server::start());
    server.set("/new", document("1", None));
    server.set("/a/repodata/repomd.xml", Reply::Redirect(server.url("/new")));
    let conf = format!("[a]\nbaseurl={}\n", server.url("/a"));
    assert_eq!(learned(&bench.of(&conf).unwrap(), "a", "1"), How::Fetched);
    let local = bench.local("r", "1").display().to_string();
    let file = format!("file://{local}/repodata/repomd.xml");
    server.set("/a/repodata/repomd.xml", Reply::Redirect(file));
    bench.of(&conf).unwrap_err();
    server.set("/a/repodata/repomd.xml", Reply::Redirect("/a/repodata/repomd.xml".to_owned()));
    server.requests();
    bench.of(&conf).unwrap_err();
    assert!(server.requests().len() < 30);
    // The server speaks no TLS, but it is tried.
    let secure = server.url("/new").replace("http:", "https:");
    server.set("/a/repodata/repomd.xml", Reply::Redirect(secure));
    let text = told(&bench.of(&conf).unwrap_err(), &server, &bench);
    assert!(text.contains("tls handshake") || text.contains("corrupt message"), "{text}");
}
