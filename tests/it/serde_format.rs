//! The enums of requests and responses have the format that serde's derive macros give them, which other
//! programs may rely on over tarpc's transports.

use flyrpc::fly_rpc;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

#[fly_rpc]
#[allow(dead_code)]
trait Shapes {
    async fn nothing(&self);
    async fn two_words(
        &self,
        text: String,
        r#type: Option<u64>,
        #[rpc(default)] last: Vec<u8>,
    ) -> u8;
    async fn r#match(&self) -> Option<Vec<String>>;
}

#[derive(Serialize, Deserialize)]
enum DerivedRequest {
    Nothing {},
    TwoWords { text: String, r#type: Option<u64>, last: Vec<u8> },
    Match {},
}

#[derive(Serialize, Deserialize)]
enum DerivedResponse {
    Nothing(()),
    TwoWords(u8),
    Match(Option<Vec<String>>),
}

fn requests() -> Vec<(ShapesRequest, DerivedRequest)> {
    let fields = || ("a".to_owned(), Some(7), vec![1, 2]);
    let (text, r#type, last) = fields();
    let request = ShapesRequest::TwoWords { text, r#type, last };
    let (text, r#type, last) = fields();
    vec![
        (ShapesRequest::Nothing {}, DerivedRequest::Nothing {}),
        (request, DerivedRequest::TwoWords { text, r#type, last }),
        (ShapesRequest::Match {}, DerivedRequest::Match {}),
    ]
}

fn responses() -> Vec<(ShapesResponse, DerivedResponse)> {
    vec![
        (ShapesResponse::Nothing(()), DerivedResponse::Nothing(())),
        (ShapesResponse::TwoWords(8), DerivedResponse::TwoWords(8)),
        (ShapesResponse::Match(None), DerivedResponse::Match(None)),
        (
            ShapesResponse::Match(Some(vec!["b".into()])),
            DerivedResponse::Match(Some(vec!["b".into()])),
        ),
    ]
}

/// Checks that a generated and a derived value have the same encoding in three formats, and that it can be
/// read again: JSON, MessagePack with names, and MessagePack without names of fields.
fn check<G: Serialize + DeserializeOwned, D: Serialize>(generated: &G, derived: &D) {
    let json = serde_json::to_value(derived).unwrap();
    assert_eq!(serde_json::to_value(generated).unwrap(), json);
    let read: G = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);

    let named = rmp_serde::to_vec_named(derived).unwrap();
    assert_eq!(rmp_serde::to_vec_named(generated).unwrap(), named);
    let unnamed = rmp_serde::to_vec(derived).unwrap();
    assert_eq!(rmp_serde::to_vec(generated).unwrap(), unnamed);
    for bytes in [named, unnamed] {
        let read: G = rmp_serde::from_slice(&bytes).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
    }
}

#[test]
fn requests_and_responses_have_the_format_of_serdes_derive_macros() {
    for (generated, derived) in requests() {
        check(&generated, &derived);
    }
    for (generated, derived) in responses() {
        check(&generated, &derived);
    }
}

#[test]
fn most_invalid_requests_and_responses_have_the_errors_of_serdes_derive_macros() {
    fn error<T: DeserializeOwned>(json: &str) -> String {
        serde_json::from_str::<T>(json).err().expect("an error").to_string()
    }

    let requests = [
        r#"{"Other": {}}"#,
        r#"{"TwoWords": {"type": 7, "last": []}}"#,
        r#"{"TwoWords": {"text": "a", "text": "b", "last": []}}"#,
        r#"{"TwoWords": {"text": 7, "last": []}}"#,
        r#"{"Nothing": {}, "Match": {}}"#,
        r#""Nothing""#,
        "7",
    ];
    for json in requests {
        let (generated, derived) = (error::<ShapesRequest>(json), error::<DerivedRequest>(json));
        let derived = derived.replace("DerivedRequest", "ShapesRequest");
        assert_eq!(generated, derived, "{json}");
    }
    for json in [r#"{"Other": 7}"#, r#"{"TwoWords": "a"}"#, r#""Match""#, "7"] {
        let (generated, derived) = (error::<ShapesResponse>(json), error::<DerivedResponse>(json));
        let derived = derived.replace("DerivedResponse", "ShapesResponse");
        assert_eq!(generated, derived, "{json}");
    }
}

#[test]
fn unknown_fields_are_ignored_and_an_absent_option_is_none() {
    let json: Value = json!({"TwoWords": {"more": {"x": [1]}, "last": [], "text": "a"}});
    let request: ShapesRequest = serde_json::from_value(json).unwrap();
    let ShapesRequest::TwoWords { text, r#type, last } = request else { panic!("{request:?}") };
    assert_eq!((text, r#type, last), ("a".to_owned(), None, vec![]));
}

#[test]
fn a_sequence_with_too_few_fields_is_an_error() {
    let error = serde_json::from_str::<ShapesRequest>(r#"{"TwoWords": ["a", null]}"#);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("invalid length 2, expected a struct variant with 3 elements"),
        "{error}"
    );
}
