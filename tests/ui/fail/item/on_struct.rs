use flyrpc::fly_rpc;

#[fly_rpc]
struct Strings;

fn main() {}
