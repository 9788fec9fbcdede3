use flyrpc::fly_rpc;

#[fly_rpc]
trait Strings {
    async fn upcase(&self, #[cfg(unix)] text: String, #[serde(skip)] other: String) -> String;
}

fn main() {}
