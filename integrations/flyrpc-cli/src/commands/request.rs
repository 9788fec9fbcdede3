//! The words of `flyrpc call`.

use crate::{cli::CallArgs, exit::Failure};

/// Upper bound on the bytes of the name of a region or a node.
const MAX_LABEL: usize = 64;
/// Upper bound on the bytes of the name of a service or a method.
const MAX_NAME: usize = 256;

/// The words of the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) region: Option<String>,
    pub(super) service: String,
    pub(super) method: String,
    /// The arguments, or `-` if they are on the standard input.
    pub(super) text: String,
}

impl Request {
    pub(super) fn of(args: &CallArgs) -> Result<Self, Failure> {
        if let Some(node) = &args.node {
            check_name("the name of a node", node, MAX_LABEL)?;
        }
        let has_target = args.primary || args.nearest || args.node.is_some();
        let (region, words) = split_region(&args.words, has_target, args.each)?;
        let [word, words @ ..] = words else {
            let why = "no method: expected `SERVICE.METHOD` after the region";
            return Err(Failure::Usage(why.to_owned()));
        };
        let Some((service, method)) = service_and_method(word) else {
            return Err(Failure::Usage(format!(
                "`{word}` is not a method: expected `SERVICE.METHOD`"
            )));
        };
        check_name("the name of a service", service, MAX_NAME)?;
        check_name("the name of a method", method, MAX_NAME)?;
        let text = words.first().cloned().unwrap_or_else(|| "{}".to_owned());
        if let Some(extra) = words.get(1) {
            return Err(Failure::Usage(format!(
                "`{extra}` is too much: all arguments are one JSON object, quoted for the shell"
            )));
        }
        let (service, method) = (service.to_owned(), method.to_owned());
        Ok(Request { region: region.cloned(), service, method, text })
    }
}

/// Splits off the region before the method. `has_target` is whether an option other than `--each` names the target.
fn split_region(
    words: &[String],
    has_target: bool,
    each: bool,
) -> Result<(Option<&String>, &[String]), Failure> {
    let [first, rest @ ..] = words else { return Ok((None, words)) };
    // The name of a region may contain a dot. After a method, there are only arguments, which are a JSON object or `-`.
    let second_is_method = rest.first().is_some_and(|word| is_method(word));
    let is_region = second_is_method || !first.contains('.');
    match is_region {
        true if has_target => Err(Failure::Usage(format!(
            "`{first}` is a second target; or a method such as `Strings.upcase` was meant"
        ))),
        true => {
            check_name("a region", first, MAX_LABEL)?;
            Ok((Some(first), rest))
        }
        false if has_target || each => Ok((None, words)),
        false => {
            let why = "no target: name a region before the method, or use --primary, --nearest, \
                --node or --each";
            Err(Failure::Usage(why.to_owned()))
        }
    }
}

/// Whether a word is a service and a method, rather than arguments.
fn is_method(word: &str) -> bool {
    let is_json = word.contains(|c: char| c.is_whitespace() || "{}[]\":,".contains(c));
    !is_json && service_and_method(word).is_some()
}

fn service_and_method(word: &str) -> Option<(&str, &str)> {
    let (service, method) = word.rsplit_once('.')?;
    (!service.is_empty() && !method.is_empty()).then_some((service, method))
}

/// Refuses a name that no node can have.
fn check_name(what: &str, name: &str, max: usize) -> Result<(), Failure> {
    let why = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > max {
        format!("it has more than {max} bytes")
    } else if name.contains(char::is_control) {
        "it contains a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::Usage(format!("`{name}` is not {what}: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> CallArgs {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        CallArgs { words, primary: false, nearest: false, node: None, each: false }
    }

    fn parsed(args: &CallArgs) -> Result<(Option<String>, String), String> {
        let request = Request::of(args).map_err(|failure| failure.to_string())?;
        Ok((request.region, format!("{}.{}", request.service, request.method)))
    }

    #[test]
    fn a_region_may_contain_a_dot() {
        let expected = |region: Option<&str>| Ok((region.map(str::to_owned), "S.m".to_owned()));
        assert_eq!(parsed(&args(&["hkg", "S.m"])), expected(Some("hkg")));
        assert_eq!(parsed(&args(&["my.region", "S.m"])), expected(Some("my.region")));
        assert_eq!(parsed(&args(&["my.region", "S.m", "{}"])), expected(Some("my.region")));
        let each = CallArgs { each: true, ..args(&["S.m", r#"{"a":0.5}"#]) };
        assert_eq!(parsed(&each), expected(None));
        let each = CallArgs { each: true, ..args(&["my.region", "S.m", "-"]) };
        assert_eq!(parsed(&each), expected(Some("my.region")));
        assert!(parsed(&args(&["S.m", "{}"])).unwrap_err().starts_with("no target"));
        let primary = CallArgs { primary: true, ..args(&["my.region", "S.m"]) };
        assert!(parsed(&primary).unwrap_err().contains("second target"));
    }

    #[test]
    fn names_that_no_node_can_have_are_refused() {
        for (region, why) in
            [("", "it is empty"), ("a\nb", "a control character"), (&"x".repeat(65), "64 bytes")]
        {
            let error = parsed(&args(&[region, "S.m"])).unwrap_err();
            assert!(error.contains("not a region") && error.contains(why), "{error}");
        }
        let node = CallArgs { node: Some(String::new()), ..args(&["S.m"]) };
        assert!(parsed(&node).unwrap_err().contains("not the name of a node"));
        let long = format!("S.{}", "m".repeat(257));
        assert!(parsed(&args(&["hkg", &long])).unwrap_err().contains("256 bytes"));
    }
}
