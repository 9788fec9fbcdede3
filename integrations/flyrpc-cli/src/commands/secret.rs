//! `flyrpc secret`

use serde_json::json;

use crate::{
    cli::Global,
    exit::{self, Failure},
    input::{MAX_SECRET, read_stdin},
    options::{parse_secret, secret_text},
    output::{print, print_json},
};

pub(crate) fn run(global: &Global, is_next: bool) -> Result<u8, Failure> {
    let new = new_key()?;
    let (secret, old) = if is_next {
        let (source, old) = match secret_text(global)? {
            Some(found) => found,
            None => {
                let text = read_stdin(MAX_SECRET).map_err(Failure::Usage)?;
                ("the secret on the standard input".to_owned(), text.trim().to_owned())
            }
        };
        let held = parse_secret(&source, &old)?.ids().count();
        if held > 1 {
            return Err(Failure::Usage(format!(
                "{source} contains {held} keys, so a rotation is in progress: complete it \
                    by deploying only the first key"
            )));
        }
        (format!("{new},{old}"), Some(old))
    } else {
        (new.clone(), None)
    };
    let id = |key: &str| parse_secret("the key", key).map(|it| it.ids().next());
    let (new_id, old_id) = (id(&new)?, old.as_deref().map(id).transpose()?.flatten());
    if global.json {
        print_json(&json!({"secret": secret, "new": new_id, "old": old_id}))?;
    } else {
        print(&(secret + "\n"))?;
    }
    if let (Some(new_id), Some(old_id), false) = (new_id, old_id, global.json) {
        // The standard output contains the secret only, for `fly secrets set` and the like.
        eprintln!("The new key is {new_id}, the old one {old_id}.");
        eprintln!("1. Deploy this secret to all nodes.");
        eprintln!(
            "2. Wait until `flyrpc nodes --keys` shows that all nodes hold {new_id}, for example 5/5."
        );
        eprintln!("3. Deploy the new key alone: the part before the comma.");
    }
    Ok(exit::OK)
}

fn new_key() -> Result<String, Failure> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)
        .map_err(|error| Failure::Local(format!("no random numbers: {error}")))?;
    Ok(key.iter().map(|byte| format!("{byte:02x}")).collect())
}
