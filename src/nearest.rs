//! Finding what somebody probably meant.

/// The candidates nearest to a name, best first, at most `most` of them and none that is far off.
pub fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    // Names longer than any real one would make the distance expensive for no gain.
    let name: Vec<char> = name.chars().take(80).collect();
    // Two letters that changed places are two changes.
    let allowed = if name.len() < 4 { 1 } else { (name.len() / 3).max(2) };
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(apart, _)| *apart <= allowed)
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().take(most).map(|(_, candidate)| candidate).collect()
}

/// How many insertions, removals and replacements lead from one to the other.
fn distance(left: &[char], right: &str) -> usize {
    let right: Vec<char> = right.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first_and_strangers_do_not_come() {
        let known = ["almalinux-9-x86_64", "almalinux-8-x86_64", "fedora-rawhide-s390x"];
        let seen = nearest("alamlinux-9-x86_64", known, 3);
        assert_eq!(seen, ["almalinux-9-x86_64", "almalinux-8-x86_64"]);
        assert_eq!(nearest("x", known, 3), Vec::<&str>::new());
    }
}
