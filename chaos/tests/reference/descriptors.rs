//! The public API as its `.proto` files describe it, comments included.

use anyhow::Result;
use conclave_proto::DESCRIPTORS;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet, MessageOptions, ServiceDescriptorProto,
};
use std::collections::BTreeMap;

/// Packages whose messages callers meet.
const PACKAGES: [&str; 2] = ["conclave.v1", "conclave.store.v1"];
// Numbers of the fields that lead to a thing in a file (google/protobuf/descriptor.proto).
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
/// Of fields in a message, calls in a service, values in an enum.
const MEMBERS: i32 = 2;
const NESTED: i32 = 3;

/// A service.
pub(crate) struct Service {
    pub(crate) name: String,
    /// Where it is described.
    pub(crate) file: String,
    pub(crate) comment: String,
    pub(crate) calls: Vec<Call>,
}

impl Service {
    /// Its page.
    pub(crate) fn page(&self) -> String {
        let name = self.name.strip_suffix("Service").unwrap_or(&self.name);
        format!("{}.md", name.to_lowercase())
    }
}

/// A call of a service.
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) comment: String,
    /// Full names.
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
}

/// A message.
#[derive(Clone)]
pub(crate) struct Message {
    /// With its package: `conclave.v1.Key`.
    pub(crate) full: String,
    pub(crate) name: String,
    pub(crate) comment: String,
    pub(crate) fields: Vec<Field>,
    /// Those that are defined in it.
    pub(crate) nested: Vec<Message>,
}

/// A field of a message.
#[derive(Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) number: u32,
    /// As it is written, with the place of the type's name: `repeated {}`.
    pub(crate) shape: String,
    /// A scalar's name, or the full name of a message or an enum.
    pub(crate) of: String,
    pub(crate) is_message: bool,
    pub(crate) is_map: bool,
    /// The choice that it is one of.
    pub(crate) oneof: Option<String>,
    pub(crate) comment: String,
}

/// An enum.
pub(crate) struct Enum {
    pub(crate) full: String,
    pub(crate) name: String,
    pub(crate) comment: String,
    /// Names and comments.
    pub(crate) values: Vec<(String, String)>,
}

/// The public API.
pub(crate) struct Api {
    pub(crate) services: Vec<Service>,
    pub(crate) messages: Vec<Message>,
    pub(crate) enums: Vec<Enum>,
}

impl Api {
    /// As it was compiled in.
    pub(crate) fn read() -> Result<Self> {
        let set = FileDescriptorSet::decode(DESCRIPTORS)?;
        let mut api = Self {
            services: Vec::new(),
            messages: Vec::new(),
            enums: Vec::new(),
        };
        for file in set
            .file
            .iter()
            .filter(|it| PACKAGES.contains(&it.package()))
        {
            let comments = Comments::of(file);
            for (place, it) in (0..).zip(&file.service) {
                api.services.push(service(file, it, place, &comments));
            }
            for (place, it) in (0..).zip(&file.message_type) {
                let path = [MESSAGES, place];
                api.messages
                    .push(message(it, file.package(), &path, &comments));
            }
            for (place, it) in (0..).zip(&file.enum_type) {
                api.enums
                    .push(enumeration(it, file.package(), place, &comments));
            }
        }
        api.services.sort_by(|a, b| a.name.cmp(&b.name));
        api.messages.sort_by(|a, b| a.name.cmp(&b.name));
        api.enums.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(api)
    }

    /// A message by its full name.
    pub(crate) fn message(&self, full: &str) -> Option<&Message> {
        fn find<'a>(all: &'a [Message], full: &str) -> Option<&'a Message> {
            let here = all.iter().find(|it| it.full == full);
            here.or_else(|| all.iter().find_map(|it| find(&it.nested, full)))
        }
        find(&self.messages, full)
    }
}

/// What is said of each thing in a file, by the path that leads to it.
struct Comments(BTreeMap<Vec<i32>, String>);

impl Comments {
    fn of(file: &FileDescriptorProto) -> Self {
        let places = file.source_code_info.iter().flat_map(|it| &it.location);
        let said = places.map(|it| {
            let lines = [it.leading_comments(), it.trailing_comments()];
            let lines = lines.iter().flat_map(|it| it.lines().map(str::trim));
            (it.path.clone(), paragraphs(lines))
        });
        Self(said.filter(|(_, text)| !text.is_empty()).collect())
    }

    fn at(&self, path: &[i32]) -> String {
        self.0.get(path).cloned().unwrap_or_default()
    }

    fn below(&self, path: &[i32], kind: i32, place: i32) -> String {
        self.at(&[path, &[kind, place]].concat())
    }
}

/// Lines joined to paragraphs, with an empty line between.
fn paragraphs<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for line in lines {
        if line.is_empty() {
            text.push_str("\n\n");
        } else {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push(' ');
            }
            text.push_str(line);
        }
    }
    text.trim().to_owned()
}

fn bare(type_name: &str) -> String {
    type_name.trim_start_matches('.').to_owned()
}

fn service(
    file: &FileDescriptorProto,
    it: &ServiceDescriptorProto,
    place: i32,
    comments: &Comments,
) -> Service {
    let path = [SERVICES, place];
    let calls = (0..).zip(&it.method).map(|(place, method)| Call {
        name: method.name().to_owned(),
        comment: comments.below(&path, MEMBERS, place),
        request: bare(method.input_type()),
        response: bare(method.output_type()),
        client_streaming: method.client_streaming(),
        server_streaming: method.server_streaming(),
    });
    Service {
        name: it.name().to_owned(),
        file: file.name().to_owned(),
        comment: comments.at(&path),
        calls: calls.collect(),
    }
}

fn message(it: &DescriptorProto, within: &str, path: &[i32], comments: &Comments) -> Message {
    let full = format!("{within}.{}", it.name());
    let fields = (0..).zip(&it.field).map(|(place, of)| Field {
        comment: comments.below(path, MEMBERS, place),
        ..field(it, of)
    });
    let nested = (0..).zip(&it.nested_type);
    let nested = nested.filter(|(_, inner)| !is_map_entry(inner));
    let nested = nested.map(|(place, inner)| {
        let path = [path, &[NESTED, place]].concat();
        message(inner, &full, &path, comments)
    });
    Message {
        name: it.name().to_owned(),
        comment: comments.at(path),
        fields: fields.collect(),
        nested: nested.collect(),
        full: full.clone(),
    }
}

fn is_map_entry(it: &DescriptorProto) -> bool {
    it.options.as_ref().is_some_and(MessageOptions::map_entry)
}

fn field(message: &DescriptorProto, it: &FieldDescriptorProto) -> Field {
    let entry = message.nested_type.iter().find(|inner| {
        is_map_entry(inner) && it.type_name().ends_with(&format!(".{}", inner.name()))
    });
    let oneof = it.oneof_index.filter(|_| !it.proto3_optional());
    let oneof = oneof.and_then(|place| message.oneof_decl.get(usize::try_from(place).ok()?));
    let shape = if let Some(entry) = entry {
        format!("map<{}, {{}}>", type_of(&entry.field[0]))
    } else if it.label() == Label::Repeated {
        "repeated {}".to_owned()
    } else if it.proto3_optional() {
        "optional {}".to_owned()
    } else {
        "{}".to_owned()
    };
    Field {
        name: it.name().to_owned(),
        number: u32::try_from(it.number()).unwrap_or_default(),
        shape,
        of: entry.map_or_else(|| type_of(it), |entry| type_of(&entry.field[1])),
        is_message: it.r#type() == Type::Message,
        is_map: entry.is_some(),
        oneof: oneof.map(|it| it.name().to_owned()),
        comment: String::new(),
    }
}

/// A scalar's name, or the full name of what it is.
fn type_of(it: &FieldDescriptorProto) -> String {
    match it.type_name() {
        "" => {
            let name = it.r#type().as_str_name();
            name.trim_start_matches("TYPE_").to_lowercase()
        }
        name => bare(name),
    }
}

fn enumeration(it: &EnumDescriptorProto, within: &str, place: i32, comments: &Comments) -> Enum {
    let path = [ENUMS, place];
    let values = (0..).zip(&it.value).map(|(place, value)| {
        let comment = comments.below(&path, MEMBERS, place);
        (value.name().to_owned(), comment)
    });
    Enum {
        full: format!("{within}.{}", it.name()),
        name: it.name().to_owned(),
        comment: comments.at(&path),
        values: values.collect(),
    }
}
