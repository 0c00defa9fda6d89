//! The README's two instances behind one proxy, as they stand there: ports and paths are the test's, and nothing else.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};

use privet_test_postgres::{Authority, Cluster};
use privet_tests::client::{Sending, Visitor};
use privet_tests::proxy::Nginx;
use privet_tests::server::{Framework, Server, Starting, folder};
use sqlx::PgPool;

use crate::{PROGRAM, texts};

const README: &str = include_str!("../../../README.md");

fn block(language: &str, with: &str) -> &'static str {
    let fence = format!("```{language}\n");
    let blocks = README.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut blocks = blocks.filter(|block| block.contains(with));
    let block = blocks.next().expect("the README has it");
    assert!(blocks.next().is_none(), "one block of {language} with {with}");
    block
}

/// Puts something of the test's in the place of what stands in the README, where it stands at all.
fn put(text: &str, theirs: &str, ours: &str) -> String {
    assert!(text.contains(theirs), "no `{theirs}` in {text}");
    text.replace(theirs, ours)
}

/// The variables that a line sets, up to the command if there is one.
fn variables(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = line.strip_prefix("export ").unwrap_or(line).split(' ');
    words.map_while(|word| word.split_once('='))
}

/// The instances that the shell would start, in their order.
fn starting(recipe: &str, data: &std::path::Path) -> Vec<Starting> {
    let exported: Vec<_> =
        recipe.lines().filter(|line| line.starts_with("export ")).flat_map(variables).collect();
    assert!(exported.len() >= 4, "{exported:?}");
    let started = recipe.lines().filter(|line| line.contains("cargo run"));
    let started = started.map(|line| {
        let framework = match line.split("cargo run -p ").nth(1) {
            Some("chat-axum &") => Framework::Axum,
            Some("chat-actix &") => Framework::ActixWeb,
            other => panic!("{other:?} is not known here"),
        };
        let starting = Starting::new(PROGRAM, data).on(framework);
        exported.iter().copied().chain(variables(line)).fold(starting, |s, (name, value)| s.env(name, value))
    });
    started.collect()
}

/// The password that an instance drew for its operator.
fn password(server: &Server) -> &str {
    let line = server.printed.lines().find_map(|line| line.split_once("with the password: "));
    line.expect("it says how to sign in").1
}

/// An address of this machine that the proxy brings to an instance.
async fn address_at(nginx: &Nginx, instance: SocketAddr) -> [u8; 4] {
    for n in 1..=50 {
        let from = [127, 0, n, 1];
        let before = nginx.reached().len();
        assert_eq!(Sending::get("/privacy/consent").from(from).to(nginx.addr).await.status, 200);
        privet_tests::until("it is written down", async || nginx.reached().len() > before).await;
        if nginx.reached().last() == Some(&instance) {
            return from;
        }
    }
    panic!("nobody comes to {instance}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recipe_for_two_instances_behind_a_proxy_holds() {
    let Some(authority) = Authority::new() else { return };
    let Some(cluster) = Cluster::encrypted(&authority) else { return };
    let database = cluster.tcp_url("localhost");
    let owner = PgPool::connect(&database).await.unwrap();
    for sql in ["CREATE ROLE shop LOGIN PASSWORD 'secret'", "CREATE DATABASE shop OWNER shop"] {
        sqlx::raw_sql(sql).execute(&owner).await.unwrap();
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = database.rsplit_once('@').unwrap().1.split('/').next().unwrap();
    let recipe = put(block("sh", "PRIVET_DB="), "@localhost/", &format!("@{server}/"));
    let recipe = put(&recipe, "http://localhost:8080", &format!("http://localhost:{port}"));
    let recipe = put(&recipe, "127.0.0.1:3001", "127.0.0.1:0");
    let recipe = put(&recipe, "127.0.0.1:3002", "127.0.0.1:0");
    let data = folder();
    let [one, two] = starting(&recipe, data.path()).try_into().expect("two instances");
    // At once, as the shell does it.
    let (one, two) = tokio::join!(one.running(), two.running());
    let proxy = put(block("nginx", "upstream"), "127.0.0.1:3001", &one.addr.to_string());
    let proxy = put(&proxy, "127.0.0.1:3002", &two.addr.to_string());
    let proxy = put(&proxy, "listen 8080", &format!("listen {port}"));
    let Some(nginx) = Nginx::start(&proxy, port).await else { return };

    let (at_one, at_two) = (address_at(&nginx, one.addr).await, address_at(&nginx, two.addr).await);
    let mut visitor = Visitor { from: at_one, ..Visitor::new(nginx.addr) };
    let token = visitor.token().await;
    let form = format!("action=accept_all&notice={token}");
    let from = async |visitor: &mut Visitor, origin: &str| {
        let form = Sending::new("POST", "/privacy/consent")
            .header("origin", origin)
            .body("application/x-www-form-urlencoded", form.clone());
        visitor.send(form).await.status
    };
    assert_eq!(from(&mut visitor, &format!("http://localhost:{}", one.addr.port())).await, 403);
    assert_eq!(from(&mut visitor, &format!("http://localhost:{port}")).await, 303, "where browsers see it");

    // Another network, and so another instance.
    visitor.from = at_two;
    assert_eq!(visitor.state().await["categories"]["contacts"], "granted");
    assert_eq!(visitor.get("/privacy/receipt").await.status, 200);
    assert_eq!(visitor.say("from the second", "ai-search").await.status, 200);
    visitor.from = at_one;
    assert_eq!(visitor.say("from the first", "ai-search").await.status, 200);
    let both = BTreeSet::from(["from the first".to_owned(), "from the second".to_owned()]);
    for from in [at_one, at_two] {
        visitor.from = from;
        assert_eq!(texts(&mut visitor).await, both);
    }

    // Whoever signs in comes back to where they are signed in.
    let mut operator = Visitor { from: at_one, ..Visitor::new(nginx.addr) };
    let form = |password: &str| Sending::form("/login", format!("name=operator&password={password}"));
    assert_eq!(operator.send(form(password(&two))).await.status, 401, "another instance's");
    assert_eq!(operator.send(form(password(&one))).await.status, 303);
    for _ in 0..6 {
        assert_ne!(operator.get("/privacy/portal").await.status, 401, "signed out by the way");
    }
    let list = async || {
        let (_, token) = variables(recipe.lines().next().unwrap())
            .find(|(name, _)| *name == "PRIVET_OPERATOR_TOKEN")
            .unwrap();
        let list = Sending::get("/contacts")
            .header("authorization", format!("Bearer {token}"))
            .header("accept", "application/json");
        list.to(nginx.addr).await.json()["contacts"].as_array().unwrap().len()
    };
    assert_eq!(list().await, 1);

    visitor.from = at_two;
    assert_eq!(visitor.withdraw().await.status, 303);
    visitor.from = at_one;
    assert_eq!(visitor.state().await["categories"]["contacts"], "refused");
    assert_eq!(texts(&mut visitor).await, BTreeSet::new());
    assert_eq!(list().await, 0);
    for server in [one, two] {
        assert!(server.stop().await.status.success());
    }
}
