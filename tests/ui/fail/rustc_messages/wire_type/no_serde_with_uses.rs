use flyrpc::fly_rpc;

struct Note {
    text: String,
}

#[fly_rpc]
trait Strings {
    async fn upcase(&self, note: Note) -> Note;
}

struct Shout;

impl Strings for Shout {
    async fn upcase(&self, note: Note) -> Note {
        note
    }
}

fn main() {
    let serve = ServeStrings::new(Shout);
    let _again = serve.clone();
    let client = StringsClient::from_stub(serve);
    let _call = client.upcase(note());
}

fn note() -> Note {
    unimplemented!()
}
