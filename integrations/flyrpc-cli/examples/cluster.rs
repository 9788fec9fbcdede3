//! Five nodes in three regions that call each other, to try the command on: `cargo run -p flyrpc-cli --example cluster`.
//! The node iad-0 listens on port 3590.

use std::time::Duration;

use flyrpc::{Node, fly_rpc};

/// Works on texts.
#[fly_rpc]
trait Strings {
    /// Returns the text in uppercase.
    async fn upcase(&self, text: String) -> String;
    /// Counts characters or words.
    #[rpc(idempotent)]
    async fn count(&self, text: String, words: Option<bool>) -> u64;
}

/// Keeps notes in the primary region.
#[fly_rpc]
trait Notes {
    /// Saves a note.
    #[rpc(primary)]
    async fn save(&self, note: String, dry_run: Option<bool>) -> Result<u64, String>;
}

#[derive(Clone)]
struct Handler;

impl Strings for Handler {
    async fn upcase(&self, text: String) -> String {
        text.to_uppercase()
    }

    async fn count(&self, text: String, words: Option<bool>) -> u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        match words {
            Some(true) => text.split_whitespace().count() as u64,
            _ => text.chars().count() as u64,
        }
    }
}

impl Notes for Handler {
    async fn save(&self, note: String, dry_run: Option<bool>) -> Result<u64, String> {
        match note.as_str() {
            "" => panic!("an empty note"),
            note if dry_run == Some(true) => Err(format!("dry run of {note:?}")),
            note => Ok(note.len() as u64),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = |name: &str| {
        let region = name.split('-').next().unwrap_or_default();
        let builder = Node::builder().name(name).region(region).primary_region("iad").version("41");
        builder.serve(ServeStrings::new(Handler))
    };
    let addr = ([127, 0, 0, 1], 3590).into();
    let first = node("iad-0").serve(ServeNotes::new(Handler)).listen(addr).start().await?;
    let mut others = Vec::new();
    for name in ["iad-1", "hkg-0", "hkg-1"] {
        let node = node(name).serve(ServeNotes::new(Handler)).seeds([addr]).start().await?;
        others.push(node);
    }
    let web = Node::builder().name("web-0").region("ams").primary_region("iad").seeds([addr]);
    let web = web.start().await?;
    web.ready().await;
    let (strings, notes) = (web.client::<StringsClient>(), web.client::<NotesClient>());
    for tick in 0_u64.. {
        let region = if tick.is_multiple_of(3) { "iad" } else { "hkg" };
        let _ = strings.on_region(region).upcase("fly".to_owned()).await;
        tokio::spawn(strings.on_region(region).count("to fly".to_owned(), Some(true)));
        if tick.is_multiple_of(10) {
            let note = if tick.is_multiple_of(50) { "" } else { "note" };
            let _ = notes.on_primary().save(note.to_owned(), None).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        if first.is_draining() {
            break;
        }
    }
    Ok(())
}
