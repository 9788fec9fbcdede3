use flyrpc::fly_rpc;

struct Note {
    text: String,
}

#[fly_rpc]
trait Strings {
    async fn upcase(&self, note: Note) -> Vec<Note>;
    async fn lower(&self, note: Note) -> Note;
}

fn main() {}
