use flyrpc::fly_rpc;

#[fly_rpc]
fn strings() {}

fn main() {}
