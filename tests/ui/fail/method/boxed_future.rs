use flyrpc::fly_rpc;
use futures_util::future::BoxFuture;

#[fly_rpc]
trait Strings {
    fn length(&self, text: String) -> BoxFuture<'_, u32>;
}

struct Plain;

impl Strings for Plain {
    fn length(&self, text: String) -> BoxFuture<'_, u32> {
        Box::pin(async move { text.len() as u32 })
    }
}

async fn call(strings: StringsClient) -> Result<(), flyrpc::RpcError> {
    assert_eq!(strings.length("fly".into()).await?, 3);
    Ok(())
}

fn main() {
    let _node = flyrpc::Node::builder().serve(ServeStrings::new(Plain));
}
