//! The pages of the reference, in Markdown.

use crate::callers::Known;
use crate::descriptors::{Api, Call, Message, Service};
use crate::reasons::Reasons;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const MESSAGES_PAGE: &str = "messages.md";

/// What the pages are made of.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    reasons: &'a Reasons,
    /// What is known of each call, by its service and name.
    known: &'a BTreeMap<(String, String), Known>,
    /// Where requests and answers are that only one call has.
    homes: BTreeMap<&'a str, String>,
}

impl<'a> Pages<'a> {
    pub(crate) fn of(
        api: &'a Api,
        reasons: &'a Reasons,
        known: &'a BTreeMap<(String, String), Known>,
    ) -> Self {
        let mut homes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for service in &api.services {
            for call in &service.calls {
                for (full, end) in [(&call.request, "Request"), (&call.response, "Response")] {
                    if full.ends_with(end) {
                        let home = format!("{}#{}", service.page(), call.name.to_lowercase());
                        homes.entry(full).or_default().push(home);
                    }
                }
            }
        }
        let only = |(full, mut homes): (&'a str, Vec<String>)| {
            (homes.len() == 1).then(|| (full, homes.remove(0)))
        };
        Self {
            api,
            reasons,
            known,
            homes: homes.into_iter().filter_map(only).collect(),
        }
    }

    /// The page of a service.
    pub(crate) fn service(&self, service: &Service) -> String {
        let mut page = format!(
            "# {}\n\n{}\n\n`proto/{}`, package `conclave.v1`. This page is made from it by a test, as are all of \
             [the reference](README.md).\n\n| call | takes |\n|---|---|\n",
            service.name,
            self.prose(&service.comment),
            service.file
        );
        for call in &service.calls {
            let takes = self.known(service, call).map_or("", |it| it.takes.as_str());
            let (name, anchor) = (&call.name, call.name.to_lowercase());
            let _ = writeln!(page, "| [{name}](#{anchor}) | {} |", escaped(takes));
        }
        for call in &service.calls {
            page.push_str(&self.call(service, call));
        }
        page
    }

    fn known(&self, service: &Service, call: &Call) -> Option<&Known> {
        self.known.get(&(service.name.clone(), call.name.clone()))
    }

    fn call(&self, service: &Service, call: &Call) -> String {
        let mut text = format!("\n## {}\n\n{}\n", call.name, self.prose(&call.comment));
        let home = format!("{}#{}", service.page(), call.name.to_lowercase());
        if let Some(known) = self.known(service, call) {
            let _ = write!(text, "\nTakes: {}.\n", escaped(&known.takes));
            let refused = self.refusals(call, known);
            if !refused.is_empty() {
                let _ = write!(text, "\nRefused, among others: {refused}.\n");
            }
        }
        for (what, full, streaming) in [
            ("Request", &call.request, call.client_streaming),
            ("Answer", &call.response, call.server_streaming),
        ] {
            let stream = if streaming { "stream of " } else { "" };
            let name = short(full);
            if self.homes.get(full.as_str()) != Some(&home) {
                let _ = write!(text, "\n**{what}**: {stream}{}.\n", self.linked(full));
            } else if let Some(message) = self.api.message(full) {
                let _ = write!(text, "\n**{what}**: {stream}`{name}`");
                text.push_str(&self.contents(message));
            }
        }
        text
    }

    /// The reasons that were seen, and those that the call's comments name.
    fn refusals(&self, call: &Call, known: &Known) -> String {
        let message = self.api.message(&call.request);
        let fields = message.iter().flat_map(|it| &it.fields);
        let said: Vec<&str> = std::iter::once(call.comment.as_str())
            .chain(fields.map(|it| it.comment.as_str()))
            .collect();
        let named = |reason: &str| said.iter().any(|text| words(text).any(|it| it == reason));
        let of_call = |reason: &&str| {
            known.reasons.contains(*reason) || (named(reason) && !Reasons::is_code(reason))
        };
        let links = self.reasons.names().filter(of_call).map(link_to_reason);
        links.collect::<Vec<_>>().join(", ")
    }

    /// The fields of a message, and of those that are defined in it.
    fn contents(&self, message: &Message) -> String {
        if message.fields.is_empty() {
            return ", which is empty.\n".to_owned();
        }
        let mut text = String::from("\n\n");
        if !message.comment.is_empty() {
            let _ = write!(text, "{}\n\n", self.prose(&message.comment));
        }
        text.push_str("| field | type | |\n|---|---|---|\n");
        for field in &message.fields {
            let kind = field.shape.replace("{}", &short(&field.of));
            let kind = match self.address(&field.of) {
                Some(address) => format!("[`{kind}`]({address})"),
                None => format!("`{kind}`"),
            };
            let oneof = field.oneof.as_ref();
            let oneof = oneof.map_or_else(String::new, |it| format!(", one of `{it}`"));
            let comment = self.cell(&field.comment);
            let _ = writeln!(text, "| `{}` | {kind}{oneof} | {comment} |", field.name);
        }
        for inner in &message.nested {
            let _ = write!(text, "\n`{}`", inner.name);
            text.push_str(&self.contents(inner));
        }
        text
    }

    /// The page of what several calls have in common.
    pub(crate) fn messages(&self) -> String {
        let mut page = "# Messages\n\nWhat several calls have in common, and what is in their fields. Times are \
                        `google.protobuf.Timestamp`, lengths of time `google.protobuf.Duration`.\n"
            .to_owned();
        for message in &self.api.messages {
            if self.homes.contains_key(message.full.as_str()) {
                continue;
            }
            let _ = write!(page, "\n## {}\n", message.name);
            // The name stands in the heading.
            let contents = self.contents(message);
            page.push_str(contents.strip_prefix('\n').unwrap_or("\nIt is empty.\n"));
        }
        for it in &self.api.enums {
            let _ = write!(page, "\n## {}\n\n", it.name);
            if !it.comment.is_empty() {
                let _ = write!(page, "{}\n\n", self.prose(&it.comment));
            }
            page.push_str("| value | |\n|---|---|\n");
            for (name, comment) in &it.values {
                let _ = writeln!(page, "| `{name}` | {} |", self.cell(comment));
            }
        }
        page
    }

    /// Where a message or an enum is described.
    fn address(&self, full: &str) -> Option<String> {
        if let Some(home) = self.homes.get(full) {
            return Some(home.clone());
        }
        let name = short(full).to_lowercase();
        let known = self.api.messages.iter().any(|it| it.full == full)
            || self.api.enums.iter().any(|it| it.full == full);
        known.then(|| format!("{MESSAGES_PAGE}#{name}"))
    }

    fn linked(&self, full: &str) -> String {
        let name = short(full);
        match self.address(full) {
            Some(address) => format!("[`{name}`]({address})"),
            None => format!("`{name}`"),
        }
    }

    /// A comment, with links to what it names.
    fn prose(&self, comment: &str) -> String {
        let linked = |word: &str| {
            if self.reasons.has(word) && !Reasons::is_code(word) {
                return Some(link_to_reason(word));
            }
            let page = word.strip_prefix("docs/")?;
            let stem = page.strip_suffix(".md")?;
            Some(format!("[{stem}.md](../{page})"))
        };
        replace_words(&escaped(comment), linked)
    }

    fn cell(&self, comment: &str) -> String {
        self.prose(comment).replace("\n\n", "<br>")
    }
}

fn link_to_reason(reason: &str) -> String {
    format!("[`{reason}`](reasons.md#{})", reason.to_lowercase())
}

/// The last part of a full name.
fn short(full: &str) -> String {
    full.rsplit('.').next().unwrap_or(full).to_owned()
}

/// What would be taken for a table or emphasis; in code, an asterisk is one.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    let mut in_code = false;
    for c in text.chars() {
        in_code ^= c == '`';
        if c == '|' || c == '*' && !in_code {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-')
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !is_of_word(c))
        .map(|word| word.trim_matches(|c| matches!(c, '.' | '-' | '/')))
}

/// Replaces those words for which there is something else.
fn replace_words(text: &str, other: impl Fn(&str) -> Option<String>) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(is_of_word) {
        let (before, at) = rest.split_at(begin);
        let end = at.find(|c| !is_of_word(c)).unwrap_or(at.len());
        let (whole, behind) = at.split_at(end);
        let word = whole.trim_end_matches('.');
        replaced.push_str(before);
        replaced.push_str(&other(word).unwrap_or_else(|| word.to_owned()));
        replaced.push_str(&whole[word.len()..]);
        rest = behind;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_stars() {
        assert_eq!(escaped("a*b `*` c|d `e|f`*"), "a\\*b `*` c\\|d `e\\|f`\\*");
    }

    #[test]
    fn words_are_replaced() {
        let other =
            |word: &str| (word == "A_B" || word == "docs/x.md").then(|| format!("<{word}>"));
        for (text, expected) in [
            ("", ""),
            ("say A_B.", "say <A_B>."),
            ("A_BC, A_B, (A_B)", "A_BC, <A_B>, (<A_B>)"),
            ("in docs/x.md; docs/y.md", "in <docs/x.md>; docs/y.md"),
        ] {
            assert_eq!(replace_words(text, other), expected);
        }
    }
}
