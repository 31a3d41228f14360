//! The reference, `docs/reference`: made from the `.proto` files' comments, from what a cluster does when it is called, and from
//! the errors in the code. `CONCLAVE_REWRITE_GOLDEN=1` has it written anew.

mod callers;
mod descriptors;
mod filling;
mod links;
mod pages;
mod raw;
mod reasons;
mod samples;

use anyhow::{Result, ensure};
use descriptors::{Api, Message};
use pages::Pages;
use reasons::Reasons;
use std::fs;
use std::path::Path;

/// Fields that are described in `docs/reference/README.md`.
const EVERYWHERE: [&str; 2] = ["request_id", "version"];

/// Reasons about which there is no more to say than about their codes: to correct the request, or to try again.
const GENERAL_REMEDY_DOES: [&str; 6] = [
    "CONFLICT",
    "CONTENDED",
    "DEADLINE_EXCEEDED",
    "INVALID_REQUEST",
    "MALFORMED",
    "OVERLOADED",
];

const DIR: &str = "../docs/reference";

/// Whether the page is as written, or was written anew.
fn is_written(name: &str, page: &str) -> Result<bool> {
    let path = Path::new(DIR).join(name);
    if std::env::var("CONCLAVE_REWRITE_GOLDEN").is_ok_and(|it| it == "1") {
        fs::write(&path, page)?;
    }
    Ok(fs::read_to_string(path).unwrap_or_default() == page)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_that_of_the_code() -> Result<()> {
    let (api, reasons) = (Api::read()?, Reasons::read()?);
    let known = callers::find_out(&api, &reasons).await?;
    let pages = Pages::of(&api, &reasons, &known);
    let mut all = vec![
        ("messages.md".to_owned(), pages.messages()),
        ("reasons.md".to_owned(), reasons.page()),
    ];
    for service in &api.services {
        all.push((service.page(), pages.service(service)));
    }
    let mut old = Vec::new();
    for (name, page) in all {
        if !is_written(&name, &page)? {
            old.push(name);
        }
    }
    ensure!(
        old.is_empty(),
        "of docs/reference, {old:?} are not what the code says: look at the difference, and run with \
         CONCLAVE_REWRITE_GOLDEN=1"
    );
    Ok(())
}

#[test]
fn every_call_and_message_says_what_it_is() -> Result<()> {
    fn messages<'a>(all: &'a [Message], found: &mut Vec<&'a Message>) {
        for it in all {
            found.push(it);
            messages(&it.nested, found);
        }
    }
    let api = Api::read()?;
    let mut silent = Vec::new();
    for service in &api.services {
        if service.comment.is_empty() {
            silent.push(service.name.clone());
        }
        let calls = service.calls.iter().filter(|it| it.comment.is_empty());
        silent.extend(calls.map(|it| format!("{}.{}", service.name, it.name)));
    }
    let mut all = Vec::new();
    messages(&api.messages, &mut all);
    // Bytes and numbers have lengths, units, and values that mean something else, but for those that mean the same everywhere.
    for message in all {
        let silent_fields = message.fields.iter().filter(|it| {
            let telling = matches!(it.of.as_str(), "bytes" | "uint32" | "uint64" | "int32");
            telling && it.comment.is_empty() && !EVERYWHERE.contains(&it.name.as_str())
        });
        silent.extend(silent_fields.map(|it| format!("{}.{}", message.full, it.name)));
    }
    ensure!(
        silent.is_empty(),
        "the .proto files do not say what these are:\n{}",
        silent.join("\n")
    );
    Ok(())
}

#[test]
fn every_reason_says_what_to_do() -> Result<()> {
    let reasons = Reasons::read()?;
    let general = reasons.with_general_remedy();
    let general: Vec<&str> = general
        .into_iter()
        .filter(|it| !GENERAL_REMEDY_DOES.contains(it))
        .collect();
    ensure!(
        general.is_empty(),
        "crates/client/src/remedy.rs says nothing of its own about {general:?}"
    );
    Ok(())
}

#[test]
fn links_lead_somewhere() -> Result<()> {
    let mut broken = Vec::new();
    let documents = links::documents(Path::new(".."))?;
    ensure!(documents.len() > 30, "there are {}", documents.len());
    for document in documents {
        broken.extend(links::broken(&document)?);
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}
