//! `flyrpc compat`
//!
//! The rules are those by which nodes decide whether a call is supported: names of methods and arguments, and which
//! arguments are optional. Types are compared as text, which shows changes but not whether they are compatible.

use std::path::Path;

use flyrpc::{ArgumentSpec, MethodSpec, ServiceSpec};
use serde::Serialize;

use super::describe::Description;
use crate::{
    cli::Global,
    exit::{self, Failure},
    input::{MAX_DESCRIPTION, read_file},
    output::{add_line, print, print_json},
};

pub(crate) fn run(global: &Global, old: &Path, new: &Path) -> Result<u8, Failure> {
    let findings = compare(&read(old)?, &read(new)?);
    let breaks = findings.iter().any(|finding| finding.breaks);
    if global.json {
        print_json(&serde_json::json!({"compatible": !breaks, "findings": findings}))?;
    } else {
        let mut text = String::new();
        for finding in &findings {
            let mark = if finding.breaks { "breaks" } else { "note" };
            add_line(&mut text, &format!("{mark}: {}: {}", finding.at, finding.what));
        }
        text += if breaks { "incompatible\n" } else { "compatible\n" };
        print(&text)?;
    }
    Ok(if breaks { exit::CHECK_FAILED } else { exit::OK })
}

fn read(path: &Path) -> Result<Vec<ServiceSpec>, Failure> {
    let failed = |why: String| Failure::Usage(format!("{}: {why}", path.display()));
    let text = read_file(path, MAX_DESCRIPTION).map_err(|error| failed(error.to_string()))?;
    let description: Description = serde_json::from_str(&text)
        .map_err(|error| failed(format!("not the output of `flyrpc describe --json`: {error}")))?;
    let mut services: Vec<ServiceSpec> = Vec::new();
    // While two versions run, nodes differ.
    for service in description.nodes.into_iter().flat_map(|node| node.services) {
        if !services.contains(&service) {
            services.push(service);
        }
    }
    Ok(services)
}

/// Returns why calls that fit `ours` are not supported by a node that serves `theirs`.
pub(crate) fn misfits(ours: &ServiceSpec, theirs: &ServiceSpec) -> Vec<String> {
    let mut findings = Vec::new();
    compare_service(ours, theirs, &mut findings);
    let breaks = findings.into_iter().filter(|finding| finding.breaks);
    breaks.map(|Finding { at, what, .. }| format!("{at}: {what}")).collect()
}

/// A difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    /// Whether callers of the old version cannot call the new one.
    breaks: bool,
    /// The service, or the method.
    at: String,
    what: String,
}

impl Finding {
    fn breaks(at: impl Into<String>, what: impl Into<String>) -> Self {
        Finding { breaks: true, at: at.into(), what: what.into() }
    }

    fn note(at: impl Into<String>, what: impl Into<String>) -> Self {
        Finding { breaks: false, at: at.into(), what: what.into() }
    }
}

/// Compares the services. Each may occur several times in different versions.
fn compare(old: &[ServiceSpec], new: &[ServiceSpec]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for before in old {
        let mut found = false;
        for after in new.iter().filter(|after| after.name == before.name) {
            found = true;
            compare_service(before, after, &mut findings);
        }
        if !found {
            findings.push(Finding::breaks(&before.name, "the service was removed"));
        }
    }
    for after in new {
        if !old.iter().any(|before| before.name == after.name) {
            let what = "the service is new: calls to it are unsupported until nodes with it run";
            findings.push(Finding::note(&after.name, what));
        }
    }
    let mut distinct: Vec<Finding> = Vec::new();
    for finding in findings {
        if !distinct.contains(&finding) {
            distinct.push(finding);
        }
    }
    distinct
}

fn compare_service(before: &ServiceSpec, after: &ServiceSpec, findings: &mut Vec<Finding>) {
    let named = |methods: &[MethodSpec], name: &str| methods.iter().any(|it| it.name == name);
    for old in &before.methods {
        let at = format!("{}.{}", before.name, old.name);
        match after.methods.iter().find(|new| new.name == old.name) {
            Some(new) => compare_method(&at, old, new, findings),
            None => findings.push(Finding::breaks(at, "the method was removed")),
        }
    }
    for new in after.methods.iter().filter(|new| !named(&before.methods, &new.name)) {
        let at = format!("{}.{}", before.name, new.name);
        let what = "the method is new: calls to it are unsupported until nodes with it run";
        findings.push(Finding::note(at, what));
    }
}

fn compare_method(at: &str, old: &MethodSpec, new: &MethodSpec, findings: &mut Vec<Finding>) {
    fn find<'a>(arguments: &'a [ArgumentSpec], name: &str) -> Option<&'a ArgumentSpec> {
        arguments.iter().find(|argument| argument.name == name)
    }
    for before in &old.arguments {
        findings.extend(match find(&new.arguments, &before.name) {
            None => Some(removed(at, before)),
            Some(after) => changed(at, before, after),
        });
    }
    let is_new = |after: &&ArgumentSpec| find(&old.arguments, &after.name).is_none();
    findings.extend(new.arguments.iter().filter(is_new).map(|after| added(at, after)));
    if old.returns != new.returns {
        let what = format!("the reply `{}` became `{}`{CHECK_FORM}", old.returns, new.returns);
        findings.push(Finding::note(at, what));
    }
    if !old.primary && new.primary {
        let what = "the method became `primary`: nodes in other regions refuse it";
        findings.push(Finding::note(at, what));
    }
}

const CHECK_FORM: &str = ": check that both types have the same form";

fn removed(at: &str, ArgumentSpec { name, ty, optional, .. }: &ArgumentSpec) -> Finding {
    let what = format!("the argument `{name}: {ty}` was removed");
    if *optional {
        Finding::note(at, what + ": calls that set it are unsupported")
    } else {
        Finding::breaks(at, what)
    }
}

fn added(at: &str, ArgumentSpec { name, ty, optional, .. }: &ArgumentSpec) -> Finding {
    let what = format!("the argument `{name}: {ty}` was added");
    if *optional {
        Finding::note(at, what + ": calls that set it are unsupported by old nodes")
    } else {
        Finding::breaks(at, what + ", and is not optional")
    }
}

fn changed(at: &str, before: &ArgumentSpec, after: &ArgumentSpec) -> Option<Finding> {
    let (name, ty) = (&before.name, &before.ty);
    if before.optional && !after.optional {
        return Some(Finding::breaks(at, format!("the argument `{name}` is no longer optional")));
    }
    (*ty != after.ty).then(|| {
        let what = format!("the argument `{name}: {ty}` became `{}`{CHECK_FORM}", after.ty);
        Finding::note(at, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(json: &str) -> ServiceSpec {
        serde_json::from_str(json).unwrap()
    }

    fn with(arguments: &str, returns: &str) -> ServiceSpec {
        service(&format!(
            r#"{{"name":"S","methods":[{{"name":"m","arguments":[{arguments}],"returns":"{returns}"}}]}}"#
        ))
    }

    #[track_caller]
    fn check(old: &ServiceSpec, new: &ServiceSpec, expected: &[(bool, &str)]) {
        let findings = compare(std::slice::from_ref(old), std::slice::from_ref(new));
        let found: Vec<_> = findings.iter().map(|it| (it.breaks, &*it.what)).collect();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((breaks, what), (expected_breaks, part)) in found.iter().zip(expected) {
            assert_eq!(breaks, expected_breaks, "{what}");
            assert!(what.contains(part), "{what}");
        }
    }

    #[test]
    fn changes_break_callers_as_nodes_decide() {
        let id = r#"{"name":"id","ty":"u8"}"#;
        let dry = r#"{"name":"dry","ty":"Option<bool>","optional":true}"#;
        let dry_required = r#"{"name":"dry","ty":"bool"}"#;
        let both = format!("{id},{dry}");
        let old = with(&both, "()");
        check(&old, &with(&format!("{dry},{id}"), "()"), &[]);
        check(&old, &with(dry, "()"), &[(true, "`id: u8` was removed")]);
        check(&old, &with(id, "()"), &[(false, "`dry: Option<bool>` was removed")]);
        check(&with(id, "()"), &old, &[(false, "was added")]);
        let expected = [(true, "no longer optional")];
        check(&old, &with(&format!("{id},{dry_required}"), "()"), &expected);
        check(
            &with(id, "()"),
            &with(&format!("{id},{dry_required}"), "()"),
            &[(true, "was added")],
        );
        check(&old, &with(&both, "u8"), &[(false, "`()` became `u8`")]);
    }

    #[test]
    fn services_and_methods_may_be_added_but_not_removed() {
        let (old, empty) = (with("", "()"), service(r#"{"name":"S","methods":[]}"#));
        check(&old, &empty, &[(true, "the method was removed")]);
        check(&empty, &old, &[(false, "the method is new")]);
        assert!(compare(std::slice::from_ref(&old), &[])[0].breaks);
        assert!(!compare(&[], std::slice::from_ref(&old))[0].breaks);
    }

    #[test]
    fn each_version_that_runs_is_compared() {
        let id = r#"{"name":"id","ty":"u8"}"#;
        let (old, older) = (with(id, "()"), with("", "()"));
        let new = with(id, "()");
        assert!(
            compare(&[old.clone(), older], std::slice::from_ref(&new)).iter().any(|it| it.breaks)
        );
        assert_eq!(compare(&[old], &[new]), []);
    }
}
