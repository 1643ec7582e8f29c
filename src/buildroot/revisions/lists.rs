//! Lists of mirrors and metalinks: what servers say of where a repository is.
//!
//! Sources: the schema of metalink 3.0, MirrorManager's answers, and librepo's reading of both.

use roxmltree::{Document, Node, ParsingOptions};

use super::address::Address;

/// Elements and texts that a document may have; real ones have some thousand.
const MAX_NODES: u32 = 500_000;

/// What a metalink says of the index of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metalink {
    /// Its checksum.
    pub sha256: Option<String>,
    /// Another one, if it has no SHA-256.
    pub sha512: Option<String>,
    /// Where it is, the preferred address first.
    pub indexes: Vec<Address>,
}

/// The addresses of repositories in a list of mirrors, in its order.
pub(super) fn mirrors(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with('#') && (line.starts_with('/') || line.contains("://")))
        .map(str::to_owned)
        .collect()
}

/// Reads a metalink; the error is a sentence.
pub(super) fn metalink(text: &[u8]) -> Result<Metalink, String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let document = parse(text)?;
    let is_index = |node: &Node<'_, '_>| {
        node.tag_name().name() == "file" && node.attribute("name") == Some("repomd.xml")
    };
    let Some(file) = document.descendants().find(is_index) else {
        return Err("it is no metalink of a repository".to_owned());
    };
    // Other verifications are below, of what the index was before.
    let hash = |kind: &str, digits: usize| {
        children(file, "verification")
            .flat_map(|node| children(node, "hash"))
            .filter(|node| node.attribute("type") == Some(kind))
            .filter_map(|node| Some(node.text()?.trim().to_ascii_lowercase()))
            .find(|text| text.len() == digits && text.bytes().all(|c| c.is_ascii_hexdigit()))
    };
    let urls = children(file, "resources").flat_map(|node| children(node, "url"));
    let preference = |node: &Node<'_, '_>| -> i32 {
        node.attribute("preference").and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let mut urls: Vec<Node<'_, '_>> = urls.collect();
    urls.sort_by_key(|node| std::cmp::Reverse(preference(node)));
    let address = |node: Node<'_, '_>| Some(Address::new(node.text()?.trim()));
    Ok(Metalink {
        sha256: hash("sha256", 64),
        sha512: hash("sha512", 128),
        indexes: urls.into_iter().filter_map(address).collect(),
    })
}

/// Checks that something is the index of a repository, and complete; the error is a sentence.
pub(super) fn check_index(text: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    match parse(text)?.root_element().tag_name().name() {
        "repomd" => Ok(()),
        other => Err(format!("its outermost element is '{other}' instead of 'repomd'")),
    }
}

fn parse(text: &str) -> Result<Document<'_>, String> {
    // Without entities of its own, which could make much of little.
    let options = ParsingOptions { nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| error.to_string())
}

fn children<'a, 'input: 'a>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    node.children().filter(move |node| node.tag_name().name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_mirrors() {
        let text =
            b"# a remark\n\nhttps://a/$basearch/\r\n  http://b/ \n#http://c/\nnothing\n/srv\n";
        assert_eq!(mirrors(text), ["https://a/$basearch/", "http://b/", "/srv"]);
        assert!(mirrors(b"<html>\n<p>welcome").is_empty());
    }

    #[test]
    fn metalinks() {
        let old = "ab".repeat(32);
        let sum = "CD".repeat(32);
        let text = format!(
            r#"<?xml version="1.0" encoding="utf-8"?>
            <metalink version="3.0" xmlns="http://www.metalinker.org/"
                xmlns:mm0="http://fedorahosted.org/mirrormanager">
             <files><file name="other"/><file name="repomd.xml">
              <mm0:alternates><mm0:alternate><verification>
               <hash type="sha256">{old}</hash></verification></mm0:alternate></mm0:alternates>
              <verification><hash type="md5">00</hash><hash type="sha256"> {sum} </hash>
              </verification>
              <resources maxconnections="1">
               <url protocol="rsync" preference="90">rsync://b/repodata/repomd.xml</url>
               <url protocol="https" preference="100">https://a/repodata/repomd.xml</url>
              </resources></file></files></metalink>"#
        );
        let read = metalink(text.as_bytes()).unwrap();
        assert_eq!(read.sha256, Some(sum.to_lowercase()));
        assert_eq!(read.sha512, None);
        let indexes: Vec<_> = read.indexes.iter().map(Address::exact).collect();
        assert_eq!(indexes, ["https://a/repodata/repomd.xml", "rsync://b/repodata/repomd.xml"]);
    }

    #[test]
    fn what_is_no_metalink() {
        for text in ["", "<html/>", "<metalink><files/></metalink>", "<metalink>", "\u{1}"] {
            assert!(metalink(text.as_bytes()).is_err(), "{text}");
        }
        let entities = "<!DOCTYPE a [<!ENTITY b \"c\">]><repomd>&b;</repomd>";
        for text in [entities, "<html></html>", "<repomd><data>", ""] {
            assert!(check_index(text.as_bytes()).is_err(), "{text}");
        }
        check_index(b"<?xml version=\"1.0\"?><repomd xmlns=\"x\"><revision>1</revision></repomd>")
            .unwrap();
        // Deep trees are read without recursion.
        let deep = "<a>".repeat(400_000);
        assert!(check_index(deep.as_bytes()).is_err());
        let deep = format!("<repomd>{}{}</repomd>", "<a>".repeat(100_000), "</a>".repeat(100_000));
        check_index(deep.as_bytes()).unwrap();
    }
}
