use flyrpc::fly_rpc;

#[fly_rpc(name = "a", name = "b")]
trait Strings {}

fn main() {}
