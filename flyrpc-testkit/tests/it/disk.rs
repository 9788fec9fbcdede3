//! Files of hosts.

use std::io::ErrorKind;

use flyrpc_testkit::SimNet;

fn net() -> SimNet {
    let net = SimNet::builder().build();
    net.add_host("iad-0", "iad");
    net
}

#[tokio::test(start_paused = true)]
async fn a_crash_discards_what_was_not_synced() {
    for crash in [|net: &SimNet| net.crash("hkg-0"), |net: &SimNet| net.kill("hkg-0")] {
        let net = net();
        let disk = net.add_host("hkg-0", "hkg").disk();
        disk.write("kept", "1").unwrap();
        disk.write("removed", "2").unwrap();
        disk.write("renamed", "3").unwrap();
        disk.sync_all().unwrap();
        disk.append("kept", "0").unwrap();
        disk.sync("kept").unwrap();
        disk.append("kept", "0").unwrap();
        disk.remove("removed").unwrap();
        disk.rename("renamed", "other").unwrap();
        disk.write("new", "4").unwrap();
        assert_eq!(disk.list(""), ["kept", "new", "other"]);
        assert_eq!(disk.read("kept").unwrap(), "100");

        crash(&net);
        assert_eq!(disk.read("kept").unwrap(), "10", "a test can read the disk");
        let disk = net.restart("hkg-0").disk();
        assert_eq!(disk.list(""), ["kept", "removed", "renamed"]);
        assert_eq!(disk.list("re"), ["removed", "renamed"]);
        assert_eq!(disk.read("kept").unwrap(), "10");
    }
}

#[tokio::test(start_paused = true)]
async fn a_synced_removal_and_a_synced_new_name_outlive_a_crash() {
    let net = net();
    let disk = net.add_host("hkg-0", "hkg").disk();
    disk.write("a", "1").unwrap();
    disk.sync("a").unwrap();
    disk.rename("a", "b").unwrap();
    disk.sync("b").unwrap();
    disk.sync("a").unwrap();
    net.crash("hkg-0");
    assert_eq!(net.restart("hkg-0").disk().list(""), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_belongs_to_its_host_and_an_earlier_boot_cannot_write() {
    let net = net();
    let (hkg, fra) = (net.add_host("hkg-0", "hkg").disk(), net.add_host("fra-0", "fra").disk());
    hkg.write("a", "1").unwrap();
    assert_eq!(fra.read("a").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(hkg.remove("b").unwrap_err().to_string(), "there is no file `b`");
    assert_eq!(hkg.sync("b").unwrap_err().kind(), ErrorKind::NotFound);

    net.crash("hkg-0");
    assert_eq!(hkg.write("a", "2").unwrap_err().kind(), ErrorKind::NetworkDown);
    net.restart("hkg-0");
    assert_eq!(hkg.append("a", "2").unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(hkg.sync_all().unwrap_err().kind(), ErrorKind::NetworkDown);
}
