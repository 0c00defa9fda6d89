//! A real Chromium, driven through ChromeDriver, with a fresh profile each time.

use std::process::Stdio;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Browser {
    pub page: Client,
    driver: Child,
    _profile: TempDir,
}

/// A command of Chromium's own protocol.
#[derive(Debug)]
struct Cdp {
    cmd: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for Cdp {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "cmd": self.cmd, "params": self.params }).to_string()))
    }
}

impl Browser {
    pub async fn start(with_script: bool) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("chromedriver is not installed; on Debian: apt-get install chromium chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port: u16 = loop {
            let line = lines.next_line().await.expect("readable").expect("ChromeDriver says its port");
            if let Some(port) = line.split("successfully on port ").nth(1) {
                break port.trim_end_matches('.').parse().expect("a port");
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().expect("a temporary folder");
        let javascript = if with_script { 1 } else { 2 };
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    "--disable-dev-shm-usage", "--window-size=1200,1000", "--lang=en",
                    format!("--user-data-dir={}", profile.path().display()),
                ],
                "prefs": { "profile.managed_default_content_settings.javascript": javascript, "intl.accept_languages": "en" },
            },
        });
        let page = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().expect("an object").clone())
            .connect(&format!("http://127.0.0.1:{port}/"))
            .await
            .expect("Chromium starts");
        Self { page, driver, _profile: profile }
    }

    pub async fn end(mut self) {
        let _ = self.page.clone().close().await;
        let _ = self.driver.kill().await;
    }

    /// Sends these headers with every request, as a proxy in between would add them.
    pub async fn headers(&self, headers: Value) {
        for (cmd, params) in
            [("Network.enable", json!({})), ("Network.setExtraHTTPHeaders", json!({ "headers": headers }))]
        {
            self.page.issue_cmd(Cdp { cmd, params }).await.expect("Chromium takes the command");
        }
    }

    /// Every cookie that the browser holds, HttpOnly ones included: names and values.
    pub async fn cookies(&self) -> Vec<(String, String)> {
        let all = self.page.get_all_cookies().await.expect("cookies");
        let mut all: Vec<_> = all.into_iter().map(|c| (c.name().to_owned(), c.value().to_owned())).collect();
        all.sort();
        all
    }

    pub async fn cookie_names(&self) -> Vec<String> {
        self.cookies().await.into_iter().map(|(n, _)| n).collect()
    }

    pub async fn find(&self, css: &str) -> Element {
        self.page
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(css))
            .await
            .unwrap_or_else(|e| panic!("{css}: {e}"))
    }

    pub async fn has(&self, css: &str) -> bool {
        !self.page.find_all(Locator::Css(css)).await.expect("a page").is_empty()
    }

    pub async fn click(&self, css: &str) {
        self.find(css).await.click().await.unwrap_or_else(|e| panic!("{css}: {e}"));
    }

    /// Waits until something holds; asks again and again, for so long and no longer.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        crate::until(what, async || holds(self).await).await;
    }

    /// The text of the page. One that is just being left has none.
    pub async fn text(&self) -> String {
        self.find("body").await.text().await.unwrap_or_default()
    }

    /// As if the browser stood in this time zone.
    pub async fn in_zone(&self, zone: &str) {
        let params = json!({ "timezoneId": zone });
        let cmd = Cdp { cmd: "Emulation.setTimezoneOverride", params };
        self.page.issue_cmd(cmd).await.expect("Chromium takes the command");
    }

    /// As if the system preferred this colour scheme: `light` or `dark`.
    pub async fn prefers(&self, scheme: &str) {
        let params = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        let cmd = Cdp { cmd: "Emulation.setEmulatedMedia", params };
        self.page.issue_cmd(cmd).await.expect("Chromium takes the command");
    }

    /// What axe-core finds on the page against WCAG 2.2 AA and its own best practices: light and dark, wide and on a phone.
    pub async fn assert_accessible(&self, what: &str) {
        let file = std::env::var("PRIVET_TEST_AXE").expect(
            "PRIVET_TEST_AXE names no axe.min.js: `tests/run browser` fetches it; or name that of the npm package axe-core",
        );
        let axe = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}"));
        for (scheme, width) in [("light", 1200), ("dark", 1200), ("light", 380), ("dark", 380)] {
            self.prefers(scheme).await;
            self.page.set_window_size(width, 1000).await.expect("a window");
            // The page's own rules let no script in; the driver's is none of the page's.
            self.eval(&format!("{axe};")).await;
            let found = self
                .page
                .execute_async(
                    "const [done] = arguments;
                     axe.run(document, { resultTypes: ['violations'] }).then(
                       (r) => done(r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ')).join(', '))),
                       (e) => done(['axe did not run: ' + e]))",
                    vec![],
                )
                .await
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(found, json!([]), "{what}, {scheme}, {width} wide");
        }
        self.prefers("light").await;
        self.page.set_window_size(1200, 1000).await.expect("a window");
    }

    /// What a script of the page would see.
    pub async fn eval(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap_or_else(|e| panic!("{script}: {e}"))
    }
}
