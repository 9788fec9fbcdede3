//! `flyrpc call`

use std::time::Duration;

use flyrpc::{
    ErrorInfo, ErrorKind, MethodSpec,
    operations::{NodeReport, RelayTarget, Visitor},
};
use futures_util::{StreamExt as _, stream};
use serde::{Serialize, Serializer};
use serde_json::json;

use super::request::Request;
use crate::{
    cli::CallArgs,
    exit::{self, Failure},
    input::{MAX_ARGUMENTS, read_stdin},
    json::{self, Hint, Hinted, Json},
    options::Options,
    output::{clean, print, print_json, to_json},
    session::{Session, find_node},
    specs::{self, Services, returns_result},
};

/// Upper bound on the calls that `--each` makes at the same time.
const CONCURRENT: usize = 16;

pub(crate) async fn run(options: &Options, args: CallArgs) -> Result<u8, Failure> {
    let Request { region, service, method, text } = Request::of(&args)?;
    let arguments = read_arguments(&text)?;
    let session = Session::open(options).await?;
    let report = session.report().await?;
    let call = Call {
        visitor: &session.visitor,
        service: &service,
        method: &method,
        arguments: &arguments,
        timeout: options.timeout,
    };
    let all = specs::of_all_nodes(&report);
    if args.each {
        let region = region.as_deref().map(flyrpc::Region::from);
        let in_region =
            |node: &&Services| region.as_ref().is_none_or(|region| node.node.region() == region);
        let nodes: Vec<&Services> = all.iter().filter(in_region).collect();
        let place = region.as_ref().map(|region| format!(" in region {region}"));
        let nobody = || {
            let place = place.unwrap_or_default();
            let serving = serving(&all, &service, &method);
            Failure::NoNode(format!("no live node serves {service}.{method}{place}{serving}"))
        };
        return call.each(&nodes, options.json, nobody).await;
    }
    let target = match (&region, &args) {
        (Some(region), _) => RelayTarget::Region(region.into()),
        (None, CallArgs { primary: true, .. }) => RelayTarget::Primary,
        (None, CallArgs { node: Some(node), .. }) => RelayTarget::Node(find_node(&report, node)?),
        (None, _) => RelayTarget::Nearest,
    };
    let candidates = all.iter().filter(|node| includes(&report, &target, node));
    let found: Vec<&MethodSpec> =
        candidates.filter_map(|node| node.method(&service, &method)).collect();
    let spec = fitting(&service, &found, &arguments)?;
    let reply = call.make(target, spec).await.map_err(|mut error| {
        if error.kind == ErrorKind::NoNode {
            error.message += &serving(&all, &service, &method);
        }
        error
    })?;
    print_json(&reply)?;
    Ok(exit_code(spec, &reply))
}

fn read_arguments(text: &str) -> Result<Json, Failure> {
    let stdin;
    let text = if text == "-" {
        stdin = read_stdin(MAX_ARGUMENTS).map_err(Failure::Usage)?;
        &stdin
    } else {
        text
    };
    json::parse(text).map_err(|why| Failure::Usage(format!("the arguments are not JSON: {why}")))
}

/// Whether the node may be the one that the target selects.
fn includes(report: &NodeReport, target: &RelayTarget, node: &Services) -> bool {
    match target {
        RelayTarget::Region(region) => node.node.region() == region,
        RelayTarget::Primary => *node.node.region() == report.primary_region,
        RelayTarget::Node(id) => node.node.id() == id,
        _ => true,
    }
}

/// Names the nodes that serve a method, for an error that none was found.
fn serving(all: &[Services], service: &str, method: &str) -> String {
    let serving = all.iter().filter(|node| node.method(service, method).is_some());
    let nodes: Vec<String> = serving
        .map(|node| format!("{} in region {}", node.node.name(), node.node.region()))
        .collect();
    match &nodes[..] {
        [] => "; no live node in any region serves it".to_owned(),
        nodes if nodes.len() > MAX_SHOWN => {
            let (shown, more) = nodes.split_at(MAX_SHOWN);
            format!("; it is served by {}, and {} more", shown.join(", "), more.len())
        }
        nodes => format!("; it is served by {}", nodes.join(", ")),
    }
}

/// Upper bound on the nodes that an error names.
const MAX_SHOWN: usize = 8;

/// Returns the first of the methods that takes the arguments, or nothing if no node is known to have it: then the node
/// that is asked finds the reason.
fn fitting<'a>(
    service: &str,
    found: &[&'a MethodSpec],
    arguments: &Json,
) -> Result<Option<&'a MethodSpec>, Failure> {
    let mut misfits: Vec<String> = Vec::new();
    for spec in found {
        match misfit(spec, arguments) {
            None => return Ok(Some(spec)),
            Some(why) => {
                let line = format!("{why}: {service}.{spec}");
                if !misfits.contains(&line) {
                    misfits.push(line);
                }
            }
        }
    }
    if !misfits.is_empty() {
        return Err(Failure::Usage(misfits.join("; or: ")));
    }
    match arguments {
        Json::Object(_) => Ok(None),
        _ => Err(Failure::Usage(NOT_AN_OBJECT.to_owned())),
    }
}

const NOT_AN_OBJECT: &str = "the arguments must be a JSON object from their names to their values";

/// Returns why a method does not take the arguments.
fn misfit(spec: &MethodSpec, arguments: &Json) -> Option<String> {
    let Json::Object(entries) = arguments else { return Some(NOT_AN_OBJECT.to_owned()) };
    let is_known = |name: &str| spec.arguments.iter().any(|argument| argument.name == name);
    if let Some((name, _)) = entries.iter().find(|(name, _)| !is_known(name)) {
        return Some(format!("unknown argument `{name}`"));
    }
    let is_given = |name: &str| entries.iter().any(|(given, _)| given == name);
    let missing =
        spec.arguments.iter().find(|argument| !argument.optional && !is_given(&argument.name))?;
    Some(format!("missing argument `{}`", missing.name))
}

struct Call<'a> {
    visitor: &'a Visitor,
    service: &'a str,
    method: &'a str,
    arguments: &'a Json,
    timeout: Duration,
}

impl Call<'_> {
    async fn make(
        &self,
        target: RelayTarget,
        spec: Option<&MethodSpec>,
    ) -> Result<Json, ErrorInfo> {
        let arguments = Arguments { values: self.arguments, spec };
        self.visitor.call(target, self.service, self.method, &arguments, self.timeout).await
    }

    /// Calls every node that serves the method. Returns the exit code of the first failure.
    /// `nobody` is the failure if there is no such node.
    async fn each(
        &self,
        nodes: &[&Services],
        is_json: bool,
        nobody: impl FnOnce() -> Failure,
    ) -> Result<u8, Failure> {
        let method = |node: &&Services| node.method(self.service, self.method).cloned();
        let serving: Vec<_> =
            nodes.iter().filter_map(|node| Some((node.node.clone(), method(node)?))).collect();
        if serving.is_empty() {
            return Err(nobody());
        }
        let specs: Vec<&MethodSpec> = serving.iter().map(|(_, spec)| spec).collect();
        fitting(self.service, &specs, self.arguments)?;
        let mut results = stream::iter(&serving)
            .map(|(node, spec)| async move {
                (node, spec, self.make(RelayTarget::Node(node.id().clone()), Some(spec)).await)
            })
            .buffered(CONCURRENT);
        let mut code = exit::OK;
        while let Some((node, spec, result)) = results.next().await {
            let (line, result_code) = match &result {
                Ok(reply) if is_json => {
                    let line =
                        format!(r#"{{"node":{},"reply":{}}}"#, to_json(node), to_json(reply));
                    (line, exit_code(Some(spec), reply))
                }
                Ok(reply) => {
                    let line = format!("{}  {}", node.id(), to_json(reply));
                    (clean(&line), exit_code(Some(spec), reply))
                }
                Err(error) if is_json => {
                    let line = to_json(&json!({"node": node, "error": error}));
                    (line, exit::of_kind(error.kind))
                }
                Err(error) => {
                    let line = format!("{}  {}: {error}", node.id(), error.kind);
                    (clean(&line), exit::of_kind(error.kind))
                }
            };
            print(&(line + "\n"))?;
            if code == exit::OK {
                code = result_code;
            }
        }
        Ok(code)
    }
}

/// The arguments, encoded as their declared types require.
struct Arguments<'a> {
    values: &'a Json,
    spec: Option<&'a MethodSpec>,
}

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Json::Object(entries) = self.values else { return self.values.serialize(serializer) };
        let hint = |name: &str| {
            let mut arguments = self.spec.iter().flat_map(|spec| &spec.arguments);
            let declared = arguments.find(|argument| argument.name == name);
            declared.map_or(Hint::None, |argument| Hint::of(&argument.ty))
        };
        let entries =
            entries.iter().map(|(name, value)| (name, Hinted { value, hint: hint(name) }));
        serializer.collect_map(entries)
    }
}

fn exit_code(spec: Option<&MethodSpec>, reply: &Json) -> u8 {
    let is_result = spec.is_some_and(returns_result);
    match reply {
        Json::Object(entries)
            if is_result && matches!(&entries[..], [(key, _)] if key == "Err") =>
        {
            exit::HANDLER_ERR
        }
        _ => exit::OK,
    }
}
