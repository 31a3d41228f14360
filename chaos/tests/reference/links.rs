//! Links between documents lead somewhere.

use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Documents of this directory and those below it.
pub(crate) fn documents(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || matches!(&*name, "target" | "run") {
            continue;
        }
        if path.is_dir() {
            found.extend(documents(&path)?);
        } else if name.strip_suffix(".md").is_some() {
            found.push(path);
        }
    }
    Ok(found)
}

/// What is wrong with the links of a document.
pub(crate) fn broken(document: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(document)?;
    let mut broken = Vec::new();
    for (line, target) in links(&text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let to = if path.is_empty() {
            document.to_owned()
        } else {
            document.parent().unwrap_or(document).join(path)
        };
        let here = format!("{}:{line}: {target}", document.display());
        if !to.exists() {
            broken.push(format!("{here}: there is no such file"));
        } else if !anchor.is_empty() && !anchors(&fs::read_to_string(&to)?).contains(anchor) {
            broken.push(format!("{here}: it has no such heading"));
        }
    }
    Ok(broken)
}

/// Lines that are no code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        let code = fenced || line.starts_with("    ");
        (!code).then_some((number + 1, line))
    })
}

/// The targets of links, `[text](target)`, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        for (place, _) in line.match_indices("](") {
            let target = &line[place + 2..];
            if let Some((target, _)) = target.split_once(')') {
                links.push((number, target));
            }
        }
    }
    links
}

/// What can stand behind a `#`: headings as they are written in addresses, and ids.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        if let Some(heading) = line.strip_prefix('#') {
            let (slug, mut unique) = (slug(heading.trim_start_matches('#')), 0);
            let mut anchor = slug.clone();
            while !anchors.insert(anchor) {
                unique += 1;
                anchor = format!("{slug}-{unique}");
            }
        }
        for (place, found) in line.match_indices("<a id=\"") {
            let id = line[place + found.len()..].split('"').next();
            anchors.extend(id.map(str::to_owned));
        }
    }
    anchors
}

/// As GitHub makes an address of a heading.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let text = heading.trim().to_lowercase();
    text.chars()
        .filter(kept)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_anchors_are_found() {
        let text = "\
# The life, of a key
See [a](b.md) and [c](d.md#e-f), [g](#h).
    [code](x)
```
[code](y)
```
## H (i)
## H (i)
<a id=\"key_x\"></a>
";
        let found: Vec<_> = links(text);
        assert_eq!(found, [(2, "b.md"), (2, "d.md#e-f"), (2, "#h")]);
        let expected = ["h-i", "h-i-1", "key_x", "the-life-of-a-key"];
        assert!(anchors(text).iter().eq(expected.iter()));
    }
}
