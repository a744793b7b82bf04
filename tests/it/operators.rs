//! What operators see: health, metrics, queue, trace, the page.

use serde_json::Value;

use crate::support::site::Site;

const MESSAGE: &str =
    "From: a@example.com\r\nTo: b@example.org\r\nSubject: <secret>\r\n\r\nconfidential\r\n";

async fn get(site: &Site, path: &str, token: Option<&str>) -> (u16, String) {
    let mut request = client().get(format!("http://{}{path}", site.gateway.admin()));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn health_metrics_queue_and_trace_tell_the_same_story() {
    let site = Site::start("").await;
    assert_eq!(get(&site, "/livez", None).await, (200, "ok\n".to_owned()));
    let (status, ready) = get(&site, "/readyz", None).await;
    assert_eq!(status, 200, "{ready}");

    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    site.settled(id).await;
    let (_, trace) = get(&site, &format!("/api/trace/{id}"), None).await;
    let trace: Value = serde_json::from_str(&trace).unwrap();
    assert_eq!(trace["id"], id.to_string());
    assert_eq!(trace["origin"]["protocol"], "ESMTP");
    assert_eq!(trace["dispatches"][0]["state"], "accepted");
    assert_eq!(trace["events"][0]["event"], "accepted");

    let (_, open) = get(&site, "/api/queue", None).await;
    assert_eq!(open, "[]");
    let (_, all) = get(&site, "/api/queue?all=true", None).await;
    assert!(all.contains(&id.to_string()));
    assert_eq!(get(&site, "/api/trace/nonsense", None).await.0, 400);
    let unknown = "/api/trace/00000000000000000000000000000000";
    assert_eq!(get(&site, unknown, None).await.0, 404);

    let (_, metrics) = get(&site, "/metrics", None).await;
    for name in [
        "gateway_spooled_messages_total",
        "gateway_attempts_total{outcome=\"accepted\"}",
        "gateway_queue_dispatches{state=\"queued\"}",
        "gateway_queue_oldest_seconds",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }

    let (_, page) = get(&site, "/", None).await;
    assert!(page.contains("b@example.org") && page.contains(&id.to_string()));
    for text in [&metrics, &page, &all, &trace.to_string()] {
        assert!(
            !text.contains("confidential") && !text.contains("secret"),
            "content is nobody's business"
        );
    }
    site.stop().await;
}

#[tokio::test]
async fn without_a_token_only_loopback_names_are_answered() {
    let site = Site::start("").await;
    let url = format!("http://{}/api/queue", site.gateway.admin());
    let rebound = client()
        .get(&url)
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status().as_u16(), 403);
    let local = client()
        .get(&url)
        .header("host", "localhost:8080")
        .send()
        .await
        .unwrap();
    assert_eq!(local.status().as_u16(), 200);
    site.stop().await;
}

#[tokio::test]
async fn with_a_token_only_health_is_open() {
    let site = Site::start("[admin]\nbind = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef\"").await;
    for path in ["/", "/metrics", "/api/queue"] {
        assert_eq!(get(&site, path, None).await.0, 401, "{path}");
        assert_eq!(get(&site, path, Some("wrong")).await.0, 401, "{path}");
        assert_eq!(
            get(&site, path, Some("0123456789abcdef")).await.0,
            200,
            "{path}"
        );
    }
    assert_eq!(get(&site, "/livez", None).await.0, 200);
    assert_eq!(get(&site, "/readyz", None).await.0, 200);
    site.stop().await;
}

#[tokio::test]
async fn a_waiting_message_can_be_held_exported_and_released() {
    let site =
        Site::start("[forward]\nretry_first = \"1h\"\nretry_max = \"2h\"\nprobe_interval = \"1h\"")
            .await;
    site.simulator
        .change_account(|account| account.api_keys.clear());
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    site.record_when(id, |record| !record.events.is_empty())
        .await;
    let post = async |order: &str, kind: &str| {
        let url = format!("http://{}/api/queue/{id}/{order}", site.gateway.admin());
        let request = client().post(url).header("content-type", kind);
        request.send().await.unwrap().status().as_u16()
    };
    let json = "application/json";
    assert_eq!(
        post("hold", "text/plain").await,
        415,
        "no web page may do this"
    );
    assert_eq!(post("burn", json).await, 400);
    assert_eq!(post("release", json).await, 409);
    assert_eq!(post("hold", json).await, 200);
    let url = format!("http://{}/api/queue/{id}/raw", site.gateway.admin());
    let raw = client().get(url).send().await.unwrap();
    assert_eq!(raw.status().as_u16(), 200);
    let download = format!("attachment; filename=\"{id}.eml\"");
    assert_eq!(raw.headers()["content-disposition"], download.as_str());
    let raw = raw.text().await.unwrap();
    assert!(
        raw.ends_with(MESSAGE) && raw.starts_with("Received: "),
        "{raw}"
    );
    assert_eq!(post("drop", json).await, 200);
    assert_eq!(
        get(&site, &format!("/api/queue/{id}/raw"), None).await.0,
        404
    );
    site.settled(id).await;
    site.stop().await;
}

#[tokio::test]
async fn no_door_gives_a_web_page_anything_to_work_with() {
    let site = Site::start("").await;
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    site.settled(id).await;
    let email = site.simulator.deliveries()[0].email_id.clone();
    let (admin, simulator) = (site.gateway.admin(), site.simulator.address());
    for url in [
        format!("http://{admin}/"),
        format!("http://{admin}/metrics"),
        format!("http://{admin}/nothing"),
        format!("http://{simulator}/"),
        format!("http://{simulator}/_deliveries/{email}/raw"),
        format!("http://{simulator}/x"),
    ] {
        let answer = client().get(&url).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert!(
            header("content-security-policy").contains("frame-ancestors 'none'"),
            "{url}"
        );
        assert!(
            header("content-security-policy").starts_with("default-src 'none'"),
            "{url}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff", "{url}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{url}");
        if url.ends_with("/raw") {
            assert!(
                header("content-disposition").starts_with("attachment"),
                "{url}"
            );
        }
    }
    for path in ["/", "/_deliveries", "/v3/email/send"] {
        let rebound = client()
            .get(format!("http://{simulator}{path}"))
            .header("host", "evil.example");
        assert_eq!(
            rebound.send().await.unwrap().status().as_u16(),
            403,
            "{path}"
        );
    }
    for path in ["/_faults", "/_events", "/_sms"] {
        let form = client()
            .post(format!("http://{simulator}{path}"))
            .header("content-type", "text/plain")
            .body("[]");
        assert_eq!(form.send().await.unwrap().status().as_u16(), 415, "{path}");
    }
    site.stop().await;
}

#[tokio::test]
async fn whoever_asks_is_told_that_every_mail_is_turned_away_and_why() {
    let site = Site::start("[spool]\nmin_free_disk = 9000000000000000000").await;
    let mut mail = site.client().await;
    mail.say("EHLO test").await.expect("250");
    mail.say("MAIL FROM:<a@example.com>")
        .await
        .expect("452 4.3.1");
    let (status, state) = get(&site, "/readyz", None).await;
    assert_eq!(status, 503, "{state}");
    assert!(
        state.contains("spool.min_free_disk is 9000000000000000000"),
        "{state}"
    );
    let health = tokio::process::Command::new(env!("CARGO_BIN_EXE_smtp2go-gateway"))
        .args(["health", "--admin", &site.gateway.admin().to_string()])
        .env_clear()
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&health.stderr);
    assert_eq!(health.status.code(), Some(1), "{said}");
    assert!(said.contains("spool.min_free_disk is 9"), "{said}");
    site.stop().await;
}
