//! The operator's files in all their forms, and all that can be wrong with them.

use jiff::SignedDuration;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use time::OffsetDateTime;

use super::*;

const NOW: &str = "2026-11-23T10:15:00Z";
const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// An authority.
struct Signer {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn params(name: &str, days: [i64; 2]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let at = |day: i64| {
        let at = now() + SignedDuration::from_hours(24 * day);
        OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap()
    };
    (params.not_before, params.not_after) = (at(days[0]), at(days[1]));
    params
}

impl Signer {
    /// With a certificate that another one signed, or it itself.
    fn new(name: &str, by: Option<&Self>) -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), params(name, [-9, 900]));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed = match by {
            None => params.self_signed(&key),
            Some(by) => params.signed_by(&key, &by.issuer),
        };
        Self { pem: signed.unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    fn leaf(&self, key: &KeyPair, params: &CertificateParams) -> String {
        params.signed_by(key, &self.issuer).unwrap().pem()
    }
}

/// What a good server certificate has.
fn server(days: [i64; 2]) -> CertificateParams {
    let mut params = params("lab.example.com", days);
    let names = ["lab.example.com", "*.lab.example.com"].map(str::to_owned);
    params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// A root, an authority below it, and a certificate with its key.
struct Files {
    root: Signer,
    middle: Signer,
    leaf: String,
    key: KeyPair,
}

fn files_of(key: KeyPair, params: &CertificateParams) -> Files {
    let root = Signer::new("root", None);
    let middle = Signer::new("middle", Some(&root));
    Files { leaf: middle.leaf(&key, params), root, middle, key }
}

fn files() -> Files {
    files_of(KeyPair::generate().unwrap(), &server([-1, 90]))
}

fn given(name: &str, text: impl Into<String>) -> Given {
    Given { name: name.to_owned(), text: Secret::new(text) }
}

fn judged(certificate: &str, key: &str) -> Result<OwnCertificate, String> {
    let certificates = [given("tls/own.crt", certificate)];
    let judged = judge(&certificates, &given("tls/own.key", key), now());
    judged.map_err(|unusable| unusable.to_string())
}

/// These files are good, and HAProxy gets the certificate and the one that signed it.
fn accepts(certificate: &str, key: &str, files: &Files) {
    let own = judged(certificate, key).unwrap();
    assert_eq!(own.leaf.subject, "lab.example.com");
    let expected =
        files.leaf.replace("\r\n", "\n") + &files.middle.pem.replace("\r\n", "\n");
    assert_eq!(own.chain_pem, expected);
    let installed = KeyPair::from_pem(own.key.expose()).unwrap();
    assert_eq!(installed.public_key_raw(), files.key.public_key_raw());
}

/// These files are refused in words that contain all of these.
fn refuses(certificate: &str, key: &str, words: &[&str]) {
    let said = judged(certificate, key).unwrap_err();
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[test]
fn all_common_forms_are_read() {
    let files = files();
    let (leaf, middle, root) = (&files.leaf, &files.middle.pem, &files.root.pem);
    let key = files.key.serialize_pem();
    let both = format!("{leaf}{middle}");
    accepts(&both, &key, &files);
    // The order, a root at the end, one twice.
    accepts(&format!("{middle}{leaf}"), &key, &files);
    accepts(&format!("{leaf}{middle}{root}"), &key, &files);
    accepts(&format!("{leaf}{leaf}{middle}"), &key, &files);
    // All in one file.
    accepts(&format!("{key}{both}"), &format!("{key}{both}"), &files);
    // No newline between blocks, and none at the end.
    let glued = format!("{}{}", leaf.trim_end(), middle.trim_end());
    accepts(&glued, key.trim_end(), &files);
    // Windows, and a mark at the beginning.
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    accepts(&windows(&both), &windows(&key), &files);
    // What `openssl pkcs12` writes around the blocks.
    let bag = "Bag Attributes\n    localKeyID: 01 02 \n    friendlyName: caf\u{e9}\n\
               subject=CN = lab.example.com\n\nissuer=CN = middle\n\n";
    accepts(&format!("{bag}{leaf}{bag}{middle}"), &format!("{bag}{key}"), &files);
    let other_label = both.replace(" CERTIFICATE-", " X509 CERTIFICATE-");
    accepts(&other_label, &key, &files);
    // One long line, and lines that begin with blanks.
    accepts(&both.replace('\n', "\n  "), &key, &files);
}

#[test]
fn the_chain_may_be_a_file_of_its_own() {
    let files = files();
    let both = [given("own.crt", &files.leaf), given("chain.crt", &files.middle.pem)];
    let key = given("own.key", files.key.serialize_pem());
    assert_eq!(judge(&both, &key, now()).unwrap().leaf.issuer, "middle");
}

#[test]
fn keys_of_all_kinds_are_read() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let files = files_of(key, &server([-1, 90]));
        let both = format!("{}{}", files.leaf, files.middle.pem);
        accepts(&both, &files.key.serialize_pem(), &files);
    }
    // Where the older form begins within PKCS #8.
    let older = |label: &str, key: &KeyPair, from: usize| {
        pem::write(label, &key.serialize_der()[from..])
    };
    let files = files();
    let both = format!("{}{}", files.leaf, files.middle.pem);
    let parameters =
        pem::write("EC PARAMETERS", b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07");
    let ec = parameters + &older("EC PRIVATE KEY", &files.key, 29);
    accepts(&both, &ec, &files);
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let files = files_of(key, &server([-1, 90]));
    let both = format!("{}{}", files.leaf, files.middle.pem);
    accepts(&both, &older("RSA PRIVATE KEY", &files.key, 26), &files);
}

#[test]
fn a_certificate_without_an_issuer_needs_none() {
    let key = KeyPair::generate().unwrap();
    let own = server([-1, 90]).self_signed(&key).unwrap().pem();
    let judged = judged(&own, &key.serialize_pem()).unwrap();
    assert_eq!(judged.chain_pem, own.replace("\r\n", "\n"));
}

#[test]
fn of_two_certificates_for_a_key_the_newer_is_used() {
    let files = files();
    let old = files.middle.leaf(&files.key, &server([-90, -1]));
    let all = format!("{old}{}{}", files.leaf, files.middle.pem);
    accepts(&all, &files.key.serialize_pem(), &files);
}

#[test]
fn files_that_hold_something_else_are_told_from_each_other() {
    let files = files();
    let both = format!("{}{}", files.leaf, files.middle.pem);
    let key = files.key.serialize_pem();
    let check =
        |certificate: &str, key: &str, words: &[&str]| refuses(certificate, key, words);
    let no_pem = "tls/own.crt has no certificate in PEM form: ";
    check("", &key, &[no_pem, "no line that starts with"]);
    check(&key, &key, &[no_pem, "it has only: PRIVATE KEY"]);
    check("0\u{fffd}\u{fffd}", &key, &[no_pem, "it is not text; convert it", ".pfx"]);
    check(&both, &both, &["tls/own.key has no private key", "CERTIFICATE, CERTIFICATE"]);
    check(
        &both,
        "\u{fffd}",
        &["tls/own.key has no private key", "openssl pkey -inform der"],
    );
    check(&both, &format!("{key}{key}"), &["tls/own.key has 2 private keys"]);
    let cut = &both[..both.len() - 40];
    check(cut, &key, &["tls/own.crt ends within `CERTIFICATE`: copy the whole file"]);
    let damaged = format!("{}{}", files.leaf, pem::write(CERTIFICATE, b"no certificate"));
    check(&damaged, &key, &["certificate 2 in tls/own.crt is damaged"]);
    let damaged = pem::write("PRIVATE KEY", b"no key");
    check(
        &both,
        &damaged,
        &["the private key in tls/own.key is damaged or of another kind"],
    );
    let locked = pem::write("ENCRYPTED PRIVATE KEY", b"0");
    check(&both, &locked, &["own.key has a passphrase", "openssl pkey -in tls/own.key"]);
    let locked = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: \
                  AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    check(&both, locked, &["own.key has a passphrase"]);
}

#[test]
fn what_clients_would_refuse_is_refused_first() {
    let files = files();
    let (leaf, middle) = (&files.leaf, &files.middle.pem);
    let key = files.key.serialize_pem();
    let stranger = KeyPair::generate().unwrap().serialize_pem();
    let both = format!("{leaf}{middle}");
    let words = ["tls/own.key does not belong to the certificate of lab.example.com"];
    refuses(&both, &stranger, &words);

    let signed_by_middle =
        "lab.example.com was signed by middle, whose certificate is missing";
    refuses(leaf, &key, &[signed_by_middle, "add it to tls/own.crt"]);
    // The root is there, and what is between is not.
    refuses(&format!("{leaf}{}", files.root.pem), &key, &[signed_by_middle]);
    let last = Signer::new("last", Some(&files.middle));
    let of_last = last.leaf(&files.key, &server([-1, 90]));
    let gap = format!("{of_last}{}{}", last.pem, files.root.pem);
    refuses(&gap, &key, &["last was signed by middle, whose certificate is missing"]);
    // The same name is not enough.
    let namesake = Signer::new("middle", None);
    refuses(&format!("{leaf}{}", namesake.pem), &key, &[signed_by_middle]);

    let check = |params: &CertificateParams, words: &[&str]| {
        let leaf = files.middle.leaf(&files.key, params);
        refuses(&format!("{leaf}{middle}"), &key, words);
    };
    check(
        &server([-90, -1]),
        &["expired at 2026-11-22T10:15:00Z", "new one from middle"],
    );
    check(&server([2, 90]), &["is not valid before 2026-11-25T10:15:00Z", "clock"]);
    let mut nameless = server([-1, 90]);
    nameless.subject_alt_names.clear();
    check(&nameless, &["has no names (subjectAltName)"]);
    let mut client = server([-1, 90]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    check(&client, &["is not for servers"]);
    // All at once.
    let leaf = files.middle.leaf(&files.key, &server([-90, -1]));
    refuses(&leaf, &key, &["expired at", "; the certificate of", "is missing"]);
}

/// Its file comes with the repository: no program of today makes such a certificate without being
/// told to.
#[test]
fn a_weak_signature_is_refused() {
    let (certificate, key) = (include_str!("sha1.crt"), include_str!("sha1.key"));
    refuses(
        certificate,
        key,
        &["lab.example.com is signed with SHA-1 or MD5", "from root"],
    );
}

#[test]
fn no_key_is_told() {
    let files = files();
    let key = files.key.serialize_pem();
    let digits = key.lines().nth(1).unwrap();
    for (certificate, key) in [(&key, &key), (&files.leaf, &format!("{key}{key}"))] {
        let said = format!("{:?}", judged(certificate, key));
        assert!(!said.contains(digits), "{said}");
    }
    let both = format!("{}{}", files.leaf, files.middle.pem);
    assert!(!format!("{:?}", judged(&both, &key).unwrap()).contains(digits));
}

#[test]
fn what_will_be_wrong_is_a_warning() {
    let check = |days: i64, names: &[San], words: &[&str]| {
        let files = files_of(KeyPair::generate().unwrap(), &server([-1, days]));
        let both = format!("{}{}", files.leaf, files.middle.pem);
        let own = judged(&both, &files.key.serialize_pem()).unwrap();
        let warnings = own.warnings(names, now());
        assert_eq!(warnings.len(), words.len(), "{warnings:?}");
        for (warning, word) in warnings.iter().zip(words) {
            assert!(warning.contains(word), "{warning}");
        }
    };
    let dns = |name: &str| San::Dns(name.to_owned());
    check(31, &[dns("lab.example.com")], &[]);
    check(30, &[dns("example.com")], &["ends in 30 days, at 2026-12-23T10:15:00Z"]);
    let other = [dns("lab.internal"), San::Ip([10, 0, 0, 9].into())];
    check(90, &other, &["only for lab.example.com, *.lab.example.com, but"]);
    check(90, &[dns("b.example.com")], &["virtual IP are b.example.com:"]);
    assert_eq!(DAY * 30, RENEW_BEFORE);

    let (key, mut params) = (KeyPair::generate().unwrap(), server([-1, 90]));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap().pem();
    let own = judged(&own, &key.serialize_pem()).unwrap();
    let [warning] = &own.warnings(&[dns("lab.example.com")], now())[..] else { panic!() };
    assert!(warning.contains("CA:TRUE"), "{warning}");
}
