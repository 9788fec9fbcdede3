use flyrpc::fly_rpc;

macro_rules! methods {
    () => {};
}

#[fly_rpc]
trait Strings {
    methods!();
}

fn main() {}
