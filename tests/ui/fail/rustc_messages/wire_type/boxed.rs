use flyrpc::fly_rpc;

struct Note {
    text: String,
}

#[fly_rpc]
trait Notes {
    async fn save(&self, note: Box<Note>) -> Option<Box<Box<Note>>>;
}

fn main() {}
