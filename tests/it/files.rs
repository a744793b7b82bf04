//! What lies on the disk is ours alone, and nothing is written where somebody else points.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use smtp2go_gateway::app::Gateway;

use crate::support::site::config;

const NOBODY: &str = "http://127.0.0.1:1/v3";

/// Starts and stops; what it said where it could not start.
async fn start(directory: &Path) -> Result<(), (String, &'static str)> {
    let config = config(directory, NOBODY, "");
    match Gateway::start(&config).await {
        Ok(gateway) => {
            gateway.stop().await;
            Ok(())
        }
        Err(error) => Err((
            format!("{error}: {:?}", std::error::Error::source(&error)),
            error.hint(),
        )),
    }
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path)
        .unwrap()
        .permissions()
        .mode()
        & 0o7777
}

#[tokio::test]
async fn a_data_directory_that_everybody_may_write_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for refused in [0o777, 0o1777, 0o702] {
        chmod(directory.path(), refused);
        let (words, hint) = start(directory.path()).await.unwrap_err();
        assert!(
            words.contains("may be written by everybody") && hint.contains("chmod"),
            "{words}"
        );
    }
    // A group is warned of.
    chmod(directory.path(), 0o770);
    start(directory.path()).await.unwrap();
    let fresh = directory.path().join("fresh");
    start_in_fresh(&fresh).await;
    assert_eq!(mode(&fresh), 0o700);
}

async fn start_in_fresh(fresh: &Path) {
    let settings = tempfile::tempdir().unwrap();
    let mut config = config(settings.path(), NOBODY, "");
    config.data_dir = fresh.to_owned();
    Gateway::start(&config).await.unwrap().stop().await;
}

#[tokio::test]
async fn nothing_is_written_through_a_link_that_was_there_before() {
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    for link in ["spool.db", "spool.db-wal", "spool.db-journal"] {
        let directory = tempfile::tempdir().unwrap();
        symlink(&victim, directory.path().join(link)).unwrap();
        let (words, _) = start(directory.path()).await.unwrap_err();
        assert!(words.contains("symbolic link"), "{link}: {words}");
        assert!(!victim.exists(), "{link}");
    }
    let directory = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), directory.path().join("tls")).unwrap();
    let (words, _) = start(directory.path()).await.unwrap_err();
    assert!(words.contains("in the way"), "{words}");

    // What is left of an earlier try is no obstacle, and neither is what lies in wait there.
    std::fs::write(&victim, "x").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let tls = directory.path().join("tls/lan");
    std::fs::create_dir_all(&tls).unwrap();
    for link in ["key.partial", "cert.partial", "key.pem"] {
        symlink(&victim, tls.join(link)).unwrap();
    }
    start(directory.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "x");
    let key = tls.join("key.pem");
    assert!(std::fs::symlink_metadata(&key).unwrap().is_file());
    assert_eq!(mode(&key), 0o600);
    // A copy that was restored by somebody with another idea of secrets.
    chmod(&key, 0o644);
    start(directory.path()).await.unwrap();
    assert_eq!(mode(&key), 0o600);
}
