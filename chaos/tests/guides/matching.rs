//! Whether what was printed is what a guide shows.

/// Stands for whatever there is: of a line, or alone for any number of lines.
const ANY: char = '…';

/// Whether lines are as expected. Space at their ends does not count.
pub(crate) fn matches(expected: &[&str], seen: &[&str]) -> bool {
    match expected.split_first() {
        None => seen.is_empty(),
        Some((line, rest)) if line.trim().chars().eq([ANY]) => {
            (0..=seen.len()).any(|skipped| matches(rest, &seen[skipped..]))
        }
        Some((line, rest)) => seen
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && matches(rest, others)),
    }
}

fn line_matches(expected: &str, seen: &str) -> bool {
    let (expected, seen) = (expected.trim_end(), seen.trim_end());
    let mut pieces = expected.split(ANY);
    let begin = pieces.next().unwrap_or_default();
    let Some(mut rest) = seen.strip_prefix(begin) else {
        return false;
    };
    let Some(end) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_as_expected() {
        for (expected, seen) in [
            ("", ""),
            ("a b", "a b  "),
            ("…", ""),
            ("…", "whatever"),
            ("id: …", "id: 8f14"),
            ("a … c", "a b c"),
            ("a … c … c", "a 1 c 2 c"),
            ("…c", "abc"),
            ("… left, … done", "3 left, 4 done"),
        ] {
            assert!(line_matches(expected, seen), "{expected:?} {seen:?}");
        }
        for (expected, seen) in [
            ("a", "b"),
            ("a", "ab"),
            ("a", ""),
            ("", "a"),
            ("a…", "b"),
            ("id: …", "id: "),
            ("a … c", "a b"),
            ("a…a", "a"),
            ("… c … c", "1 c 2"),
        ] {
            assert!(!line_matches(expected, seen), "{expected:?} {seen:?}");
        }
    }

    #[test]
    fn lines_are_as_expected() {
        for (expected, seen) in [
            (&[][..], &[][..]),
            (&["a", "b"], &["a", "b"]),
            (&["…"], &[]),
            (&["…"], &["a", "b"]),
            (&["…", "b"], &["a", "b", "b"]),
            (&["a", "…", "c", "…"], &["a", "c", "b", "c"]),
        ] {
            assert!(matches(expected, seen), "{expected:?} {seen:?}");
        }
        for (expected, seen) in [
            (&[][..], &["a"][..]),
            (&["a"], &[]),
            (&["a", "b"], &["b", "a"]),
            (&["a", "…", "c"], &["a", "b"]),
            (&["…", "a"], &["a", "b"]),
        ] {
            assert!(!matches(expected, seen), "{expected:?} {seen:?}");
        }
    }
}
