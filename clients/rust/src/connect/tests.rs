use super::*;

#[test]
fn hints_name_the_way_out() {
    let refused = "cannot connect: Connection refused (os error 111)";
    assert_eq!(
        with_hint(refused, "TCP"),
        "connection refused; is the server running? start it with `bbq serve`"
    );
    assert!(
        with_hint("No such file or directory (os error 2)", "TCP").starts_with("there is no such socket; ")
    );
    assert!(with_hint("no answer over UDP within 5 s", "UDP").contains("transport = \"auto\""));
    assert!(with_hint("no answer over TCP within 5 s", "TCP").contains("is the server running"));
    assert!(with_hint("invalid peer certificate: UnknownIssuer", "TCP").contains("`ca`"));
    assert_eq!(with_hint("something else", "TCP"), "something else");
}
