//! A session with a member of ZooKeeper: the bytes on the wire.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::api::zookeeper::session::{Session, SessionError};
use crate::component::znode::{AccessList, Grant, Rights};
use crate::secret::Secret;

const SOON: Duration = Duration::from_secs(5);
const NO_NODE: i32 = -101;

fn password() -> Secret {
    Secret::new("hunter2")
}

fn open_to_all() -> AccessList {
    [Grant::anyone(Rights::ALL)].into()
}

/// `world:anyone` with these rights, as ZooKeeper writes a list with one entry.
fn list(rights: u8) -> Vec<u8> {
    [&[0, 0, 0, 1, 0, 0, 0, rights, 0, 0, 0, 5][..], b"world", &[0, 0, 0, 6], b"anyone"]
        .concat()
}

/// Reads a question, without its length.
async fn question(member: &mut DuplexStream) -> Vec<u8> {
    let mut question = vec![0; member.read_u32().await.unwrap() as usize];
    member.read_exact(&mut question).await.unwrap();
    question
}

async fn answer(member: &mut DuplexStream, answer: &[u8]) {
    member.write_u32(u32::try_from(answer.len()).unwrap()).await.unwrap();
    member.write_all(answer).await.unwrap();
}

/// Answers a question: its number, the number of the last change, an error, and the content.
async fn reply(member: &mut DuplexStream, xid: i32, code: i32, rest: &[u8]) {
    let head = [&xid.to_be_bytes()[..], &7_i64.to_be_bytes(), &code.to_be_bytes()];
    answer(member, &[&head.concat(), rest].concat()).await;
}

/// Accepts a session.
async fn begin(member: &mut DuplexStream) {
    assert_eq!(question(member).await.len(), 45);
    let granted =
        [&[0, 0, 0, 0, 0, 0, 0x4e, 0x20][..], &[1; 8], &[0, 0, 0, 16], &[2; 16], &[0]];
    answer(member, &granted.concat()).await;
    let asked = question(member).await;
    let user = b"super:hunter2";
    let expected = [
        &[0xff, 0xff, 0xff, 0xfc, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 6][..],
        b"digest",
        &[0, 0, 0, 13],
        user,
    ];
    assert_eq!(asked, expected.concat());
    reply(member, -4, 0, &[]).await;
}

#[tokio::test]
async fn a_node_that_is_not_there_is_made_with_its_list() {
    let (ours, mut member) = duplex(4096);
    let asks = async {
        let mut session = Session::open(ours, "super", &password(), SOON).await.unwrap();
        session.secure("/mesos", &open_to_all()).await.unwrap();
        session.close().await.unwrap();
    };
    let answers = async {
        begin(&mut member).await;
        let path = [&[0, 0, 0, 6][..], b"/mesos"].concat();
        let asked = question(&mut member).await;
        assert_eq!(asked, [&[0, 0, 0, 1, 0, 0, 0, 6][..], &path].concat());
        reply(&mut member, 1, NO_NODE, &[]).await;
        let asked = question(&mut member).await;
        let data = [0; 4];
        let create = [&[0, 0, 0, 2, 0, 0, 0, 1][..], &path, &data, &list(31), &[0; 4]];
        assert_eq!(asked, create.concat());
        reply(&mut member, 2, 0, &path).await;
        assert_eq!(question(&mut member).await, [0, 0, 0, 3, 0xff, 0xff, 0xff, 0xf5]);
        reply(&mut member, 3, 0, &[]).await;
    };
    tokio::join!(asks, answers);
}

#[tokio::test]
async fn a_list_is_set_only_where_it_is_another_one() {
    let (ours, mut member) = duplex(4096);
    let asks = async {
        let mut session = Session::open(ours, "super", &password(), SOON).await.unwrap();
        session.secure("/", &open_to_all()).await.unwrap();
        session.secure("/", &open_to_all()).await.unwrap();
    };
    let answers = async {
        begin(&mut member).await;
        question(&mut member).await;
        reply(&mut member, 1, 0, &[&list(31)[..], &[0; 68]].concat()).await;
        question(&mut member).await;
        reply(&mut member, 2, 0, &[&list(1)[..], &[0; 68]].concat()).await;
        let any_version = [0xff; 4];
        let set =
            [&[0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 1][..], b"/", &list(31), &any_version];
        assert_eq!(question(&mut member).await, set.concat());
        reply(&mut member, 3, 0, &[0; 68]).await;
    };
    tokio::join!(asks, answers);
}

#[tokio::test]
async fn a_refusal_says_what_was_refused_and_why() {
    let (ours, mut member) = duplex(4096);
    let asks = async {
        let mut session = Session::open(ours, "super", &password(), SOON).await.unwrap();
        session.access("/").await.unwrap_err()
    };
    let answers = async {
        begin(&mut member).await;
        question(&mut member).await;
        reply(&mut member, 1, -102, &[]).await;
    };
    let (refused, ()) = tokio::join!(asks, answers);
    assert_eq!(
        refused.to_string(),
        "ZooKeeper refuses to report who may access /: it has a different administrator \
         password"
    );
}

#[tokio::test]
async fn what_is_no_member_or_leaves_is_told() {
    for said in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n", &[0, 0, 0, 4, 0, 0, 0, 0]] {
        let (ours, mut member) = duplex(4096);
        member.write_all(said).await.unwrap();
        drop(member);
        let refused = Session::open(ours, "super", &password(), SOON).await.unwrap_err();
        let told = matches!(refused, SessionError::Broken(_) | SessionError::Nonsense);
        assert!(told, "{refused}");
    }
    let (ours, _member) = duplex(4096);
    let silent =
        Session::open(ours, "super", &password(), Duration::from_millis(20)).await;
    assert!(matches!(silent, Err(SessionError::TimedOut { .. })), "{silent:?}");
}
