use std::path::Path;

use flyrpc::fly_rpc;

#[fly_rpc]
trait Files {
    async fn find(&self, path: &Path, name: &std::ffi::OsStr) -> &std::ffi::CStr;
    async fn save(&self, lines: &[&str], tags: &Vec<&str>, check: &dyn Fn());
}

fn main() {}
