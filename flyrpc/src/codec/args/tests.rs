use std::fmt::Debug;

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde::{Deserialize, Serialize, Serializer};

use super::*;
use crate::{codec::EncodedBody, error::BodyError, types::Argument};

fn no() -> bool {
    false
}

static KNOWN: [Argument; 4] = [
    Argument { name: "text", ty: "String", optional: no },
    Argument { name: "limit", ty: "Option<u32>", optional: no },
    Argument { name: "list", ty: "Vec<u8>", optional: no },
    Argument { name: "mode", ty: "Mode", optional: no },
];

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
enum Mode {
    #[default]
    Fast,
    Safe,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Limit(Option<u32>);

impl Default for Limit {
    fn default() -> Self {
        Limit(Some(10))
    }
}

type Maybe<T> = Option<T>;

fn written(
    accepted: AcceptedArgs<'_>,
    put: impl FnOnce(&mut ArgsWriter<'_>) -> Result<(), ArgumentError>,
) -> Result<Vec<u8>, ArgumentError> {
    let mut body = EncodedBody::new();
    body.buffer().push(0xff);
    let mut writer = ArgsWriter::new(&mut body, 4, accepted);
    put(&mut writer)?;
    writer.finish();
    let mut bytes = Vec::from(body.into_bytes());
    assert_eq!(bytes.remove(0), 0xff, "the previous content of the buffer is kept");
    Ok(bytes)
}

fn names(bytes: &[u8]) -> String {
    format!("{:?}", ArgsReader::parse(bytes, &KNOWN).unwrap())
}

#[test]
fn arguments_arrive_in_any_order() {
    let bytes = written(AcceptedArgs::All, |args| {
        args.put("list", &vec![1u8, 200])?;
        args.put("limit", &Some(7u32))?;
        args.put("text", &"fly")?;
        args.put_or_default("mode", &Mode::Safe)
    });
    let bytes = bytes.unwrap();
    let mut args = ArgsReader::parse(&bytes, &KNOWN).unwrap();
    assert_eq!(args.take::<String>("text").unwrap(), "fly");
    assert_eq!(args.take::<Option<u32>>("limit").unwrap(), Some(7));
    assert_eq!(args.take::<Vec<u8>>("list").unwrap(), [1, 200]);
    assert_eq!(args.take_or_default::<Mode>("mode").unwrap(), Mode::Safe);
}

#[test]
fn no_arguments_are_an_empty_map() {
    assert_eq!(written(AcceptedArgs::All, |_| Ok(())).unwrap(), [0x80]);
    ArgsReader::parse(&[0x80], &[]).unwrap();
}

#[test]
fn more_arguments_than_a_short_head_or_the_inline_slots_hold_arrive() {
    static MANY: [Argument; 20] = {
        const NAMES: [&str; 20] = [
            "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q",
            "r", "s", "t",
        ];
        let mut many = [const { Argument { name: "", ty: "u8", optional: no } }; 20];
        let mut index = 0;
        while index < 20 {
            many[index].name = NAMES[index];
            index += 1;
        }
        many
    };
    for most in [0, 15, 16, 20, 70_000] {
        let mut body = EncodedBody::new();
        let mut writer = ArgsWriter::new(&mut body, most, AcceptedArgs::All);
        MANY.iter().enumerate().for_each(|(n, arg)| writer.put(arg.name, &n).unwrap());
        writer.finish();
        let bytes = body.into_bytes();
        let mut args = ArgsReader::parse(&bytes, &MANY).unwrap();
        for (n, argument) in MANY.iter().enumerate().rev() {
            assert_eq!(args.take::<usize>(argument.name).unwrap(), n);
        }
    }
}

#[test]
fn none_is_omitted_and_unit_is_not() {
    let put = |args: &mut ArgsWriter<'_>| {
        args.put("text", &None::<u8>)?;
        args.put("limit", &Limit(None))?;
        args.put("list", &())?;
        args.put("mode", &Some(None::<u8>))
    };
    let bytes = written(AcceptedArgs::All, put).unwrap();
    assert_eq!(names(&bytes), r#"{"list", "mode"}"#);
    let mut args = ArgsReader::parse(&bytes, &KNOWN).unwrap();
    assert_eq!(args.take::<Maybe<u8>>("text").unwrap(), None);
    assert_eq!(args.take::<Limit>("limit").unwrap(), Limit(None));
    args.take::<()>("list").unwrap();
    assert_eq!(args.take::<Maybe<Maybe<u8>>>("mode").unwrap(), Some(None));
}

#[test]
fn argument_that_is_not_accepted_is_omitted_only_if_it_is_none_or_default() {
    let only = AcceptedArgs::Only(&|name| name == "text");
    let put = |limit: Option<u32>, mode: Mode| {
        let written = written(only, |args| {
            args.put("text", &"fly")?;
            args.put("limit", &limit)?;
            args.put_or_default("mode", &mode)
        });
        written.map(|bytes| names(&bytes))
    };
    assert_eq!(put(None, Mode::Fast).unwrap(), r#"{"text"}"#);
    assert_eq!(put(Some(0), Mode::Fast), Err(ArgumentError::NotAccepted("limit")));
    assert_eq!(put(None, Mode::Safe), Err(ArgumentError::NotAccepted("mode")));
}

#[test]
fn accepted_default_is_written() {
    let bytes =
        written(AcceptedArgs::All, |args| args.put_or_default("mode", &Mode::Fast)).unwrap();
    assert_eq!(names(&bytes), r#"{"mode"}"#);
    let bytes =
        written(AcceptedArgs::All, |args| args.put_or_default("mode", &None::<u8>)).unwrap();
    assert_eq!(names(&bytes), "{}");
}

#[test]
fn none_that_is_not_the_default_is_written() {
    let put = |args: &mut ArgsWriter<'_>| args.put_or_default("limit", &Limit(None));
    let bytes = written(AcceptedArgs::All, put).unwrap();
    let mut args = ArgsReader::parse(&bytes, &KNOWN).unwrap();
    assert_eq!(args.take_or_default::<Limit>("limit").unwrap(), Limit(None));
    let not_accepted = written(AcceptedArgs::Only(&|_| false), put);
    assert_eq!(not_accepted, Err(ArgumentError::NotAccepted("limit")));
}

#[test]
fn unwritable_argument_is_named_and_leaves_nothing() {
    #[derive(Debug)]
    struct Unwritable;
    impl Serialize for Unwritable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }
    let bytes = written(AcceptedArgs::All, |args| {
        let error = args.put("list", &vec![Unwritable]).unwrap_err();
        assert_eq!(error, ArgumentError::Encode(BodyError::new("list[0]", "not today")));
        args.put("text", &"fly")
    });
    assert_eq!(names(&bytes.unwrap()), r#"{"text"}"#);
}

#[track_caller]
fn check_refused(bytes: &[u8], path: &str, message: &str) {
    let error = ArgsReader::parse(bytes, &KNOWN).unwrap_err();
    assert_eq!(error, BodyError::new(path, message));
}

#[test]
fn body_that_is_not_a_map_of_known_arguments_is_refused() {
    check_refused(b"\x82\xa4text\xa3fly\xa7dry_run\xc3", "dry_run", "unknown argument");
    check_refused(b"\x82\xa4text\xa1a\xa4text\xa1b", "text", "argument is given twice");
    check_refused(b"\x81\xa4text\xa1a\x00", "", "trailing bytes after the arguments: 1");
    check_refused(b"\x80\x00", "", "trailing bytes after the arguments: 1");
    check_refused(b"\x81\x00\xa1a", "", "an argument is not given by name");
    check_refused(b"\x91\xa1a", "", "the arguments are not a map");
    check_refused(b"", "", "unexpected end of input");
    check_refused(b"\x82\xa4text\xa1a", "", "unexpected end of input");
    check_refused(b"\x81\xa4text\xa5a", "text", "unexpected end of input");
}

#[test]
fn bytes_after_a_last_sequence_are_refused_when_it_is_taken() {
    let mut args = ArgsReader::parse(b"\x81\xa4list\x92\x01\x02\x03", &KNOWN).unwrap();
    let error = args.take::<Vec<u8>>("list").unwrap_err();
    assert_eq!(error, BodyError::new("list", "trailing bytes after the value: 1"));
}

#[test]
fn mutated_arguments_never_panic() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(5);
    println!("SEED={seed}");
    let mut rng = SmallRng::seed_from_u64(seed);
    let valid = written(AcceptedArgs::All, |args| {
        args.put("text", &"fly")?;
        args.put("limit", &Some(7u32))?;
        args.put("list", &[[1u8; 3]; 3])
    });
    let valid = valid.unwrap();
    for _ in 0..20_000 {
        let mut bytes = valid.clone();
        bytes.truncate(rng.random_range(0..=valid.len()));
        for _ in 0..rng.random_range(0..3) {
            if !bytes.is_empty() {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
        }
        let Ok(mut args) = ArgsReader::parse(&bytes, &KNOWN) else { continue };
        let _ = args.take::<String>("text");
        let _ = args.take::<Option<u32>>("limit");
        let list = args.take::<Vec<[u8; 3]>>("list");
        let _ = args.take_or_default::<Mode>("mode");
        assert!(list.is_err() || list.unwrap().len() <= bytes.len());
    }
}

#[test]
fn argument_of_another_type_is_named() {
    let bytes = written(AcceptedArgs::All, |args| args.put("list", &(1, ["x"]))).unwrap();
    let mut args = ArgsReader::parse(&bytes, &KNOWN).unwrap();
    let error = args.take::<(u8, [u8; 1])>("list").unwrap_err();
    assert_eq!(error.to_string(), "list[1][0]: invalid type: string \"x\", expected u8");
}

#[test]
fn absent_argument_is_missing_unless_it_is_an_option_or_has_a_default() {
    let mut args = ArgsReader::parse(&[0x80], &KNOWN).unwrap();
    assert_eq!(args.take::<Option<u32>>("limit").unwrap(), None);
    assert_eq!(args.take_or_default::<Limit>("limit").unwrap(), Limit(Some(10)));
    let error = args.take::<String>("text").unwrap_err();
    assert_eq!(error, BodyError::new("text", "missing argument"));
    args.take::<()>("text").unwrap_err();
    args.take::<serde_json::Value>("text").unwrap_err();
}

#[test]
fn only_options_are_optional() {
    #[derive(Deserialize)]
    struct Unit;
    #[derive(Deserialize)]
    #[serde(transparent)]
    #[allow(dead_code)]
    struct Through {
        inner: Option<u8>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Endless(Box<Endless>);
    assert!(is_optional::<Option<String>>());
    assert!(is_optional::<Maybe<()>>());
    assert!(is_optional::<Limit>());
    assert!(is_optional::<Through>());
    assert!(is_optional::<Box<Option<u8>>>());
    assert!(!is_optional::<()>());
    assert!(!is_optional::<Unit>());
    assert!(!is_optional::<u8>());
    assert!(!is_optional::<Vec<u8>>());
    assert!(!is_optional::<Mode>());
    assert!(!is_optional::<serde_json::Value>());
    assert!(!is_optional::<Endless>());
}
