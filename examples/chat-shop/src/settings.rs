use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

use privet::ip::TrustedProxies;
use privet_postgres::PostgresOptions;

use crate::{Accounts, OperatorToken};

/// How the examples are called, and what can be set.
pub const USAGE: &str = "\
cargo run -p chat-axum      or chat-actix, which is the same on the other framework
cargo run -p chat-axum -- --help

Set by environment variables; one that is empty is not set:

  PRIVET_ADDR             where to listen; 127.0.0.1:3000
  PRIVET_DATA             the folder for database, keys and ledger; ./chat-data. With PRIVET_DB, for privet.key alone
  PRIVET_PUBLIC_ORIGIN    where browsers see the site, if that is not where it listens, such as https://shop.example; several
                          with commas
  PRIVET_TRUSTED_PROXIES  networks whose X-Forwarded-For counts, such as 10.0.0.0/8; several with commas; none
  PRIVET_COUNTRY_DB       a country file (.mmdb); the data in the binary
  PRIVET_SUPPORT_URL      where messages to live support are forwarded; nowhere
  PRIVET_OPERATOR_TOKEN   what an operator has to send to see the contacts; drawn at the start, and printed
  PRIVET_OPERATORS        who may sign in at /login, as name:role:tenant:hash with spaces between them, the hash by Argon2id in
                          PHC form; one operator, whose password is drawn at the start and printed

With PostgreSQL instead of the files:

  PRIVET_DB               its URL, as postgres://user:password@host:5432/database
  PRIVET_DB_SCHEMA        the schema of the data in it; privet
  PRIVET_DB_FAILOVER      the URL of another server of that database, such as a standby, gone on with once it is promoted
  PRIVET_DB_POOLER        yes if a pooler such as PgBouncer is in front, of any of these databases; no
  PRIVET_KEYS_DB          the URL of the database with the keys, in its schema privet; with the data
  PRIVET_LEDGER_DB        the URL of the database with the ledger, in its schema privet; with the data";

/// What can be set, by environment variables of these names; [`USAGE`] tells whoever runs it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `PRIVET_ADDR`: where to listen; `127.0.0.1:3000`.
    pub addr: SocketAddr,
    /// `PRIVET_DATA`: the folder for database, keys and ledger; `./chat-data`. With `PRIVET_DB`, for the installation's key
    /// alone.
    pub data: PathBuf,
    /// `PRIVET_DB`: the URL of a PostgreSQL, `postgres://…`, instead of the files; `PRIVET_DB_FAILOVER`: that of another
    /// server of the same database, such as its standby, which is gone on with once it is promoted; `PRIVET_DB_SCHEMA`: the
    /// schema in it, `privet`; and `PRIVET_DB_POOLER`: `yes` if a pooler is in front of it or of the other two.
    pub database: Option<PostgresOptions>,
    /// `PRIVET_KEYS_DB`: the URL of the database with the keys, in its schema `privet`, where `migrate` puts them; with the
    /// data, if none is named.
    pub keys: Option<PostgresOptions>,
    /// `PRIVET_LEDGER_DB`: the same for the ledger.
    pub ledger: Option<PostgresOptions>,
    /// `PRIVET_PUBLIC_ORIGIN`: where browsers see the site, if that is not where it listens, such as
    /// `https://shop.example`; several with commas.
    pub origins: Vec<String>,
    /// `PRIVET_COUNTRY_DB`: a country file (.mmdb); the data in the binary, if none is named.
    pub country_db: Option<PathBuf>,
    /// `PRIVET_TRUSTED_PROXIES`: networks whose `X-Forwarded-For` counts, as CIDR with commas; none.
    pub trusted_proxies: TrustedProxies,
    /// `PRIVET_SUPPORT_URL`: where messages to live support are forwarded; nowhere.
    pub support_url: Option<String>,
    /// `PRIVET_OPERATOR_TOKEN`: what an operator has to send to see the contacts; drawn at start, if none is given.
    pub operator_token: Option<OperatorToken>,
    /// `PRIVET_OPERATORS`: who may sign in at `/login`, as [`Accounts::parse`] reads it; one operator whose password is
    /// drawn at start, if none is named.
    pub operators: Option<Accounts>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 3000)),
            data: PathBuf::from("./chat-data"),
            database: None,
            keys: None,
            ledger: None,
            origins: Vec::new(),
            country_db: None,
            trusted_proxies: TrustedProxies::none(),
            support_url: None,
            operator_token: None,
            operators: None,
        }
    }
}

/// Whether a variable says yes; unset is no.
fn is_yes(name: &str, said: Option<String>) -> Result<bool, String> {
    let Some(said) = said else { return Ok(false) };
    match said.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" => Ok(true),
        "no" | "false" | "0" => Ok(false),
        _ => Err(format!("{name} is `{}`; write yes or no", said.escape_default())),
    }
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// A sentence that names the variable, what is wrong and what to do.
    pub fn from_env() -> Result<Self, String> {
        Self::read(|name| env::var(name).ok())
    }

    fn read(mut variable: impl FnMut(&str) -> Option<String>) -> Result<Self, String> {
        let mut variable = |name: &str| variable(name).filter(|v| !v.trim().is_empty());
        let unset = Self::default();
        let addr = match variable("PRIVET_ADDR") {
            Some(addr) => addr.parse().map_err(|_| {
                format!(
                    "PRIVET_ADDR is `{}`; write an address and a port, such as 127.0.0.1:3000",
                    addr.escape_default()
                )
            })?,
            None => unset.addr,
        };
        let proxies = variable("PRIVET_TRUSTED_PROXIES").unwrap_or_default();
        let trusted_proxies = proxies.parse().map_err(|e| format!("PRIVET_TRUSTED_PROXIES: {e}"))?;
        let support_url = variable("PRIVET_SUPPORT_URL");
        if let Some(url) = &support_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            return Err("PRIVET_SUPPORT_URL is no URL; write it with http:// or https://".to_owned());
        }
        let [url, failover, schema, pooler, keys, ledger] = [
            "PRIVET_DB",
            "PRIVET_DB_FAILOVER",
            "PRIVET_DB_SCHEMA",
            "PRIVET_DB_POOLER",
            "PRIVET_KEYS_DB",
            "PRIVET_LEDGER_DB",
        ]
        .map(&mut variable);
        if url.is_none() {
            // It would be the files, and nobody would notice.
            for (name, value, what) in [
                ("PRIVET_DB_FAILOVER", &failover, "another server of PRIVET_DB"),
                ("PRIVET_DB_SCHEMA", &schema, "a schema in PRIVET_DB"),
                ("PRIVET_DB_POOLER", &pooler, "about what is in front of PRIVET_DB"),
                ("PRIVET_KEYS_DB", &keys, "for the keys of the data in PRIVET_DB"),
                ("PRIVET_LEDGER_DB", &ledger, "for the ledger of the data in PRIVET_DB"),
            ] {
                if value.is_some() {
                    return Err(format!("{name} is {what}; set that too, or unset {name}"));
                }
            }
        }
        let pooled = is_yes("PRIVET_DB_POOLER", pooler)?;
        let at = |name: &str, url: Option<String>| {
            let options = url.map(|url| PostgresOptions::new(&url)).transpose();
            let options = options.map_err(|e| format!("{name}: {e}"))?;
            Ok::<_, String>(options.map(|o| if pooled { o.behind_pooler() } else { o }))
        };
        let mut database = at("PRIVET_DB", url)?;
        if let Some(url) = failover {
            let other = database.map(|d| d.failover_url(&url)).transpose();
            database = other.map_err(|e| format!("PRIVET_DB_FAILOVER: {e}"))?;
        }
        if let Some(schema) = schema {
            database = database.map(|d| d.schema(&schema));
        }
        let (keys, ledger) = (at("PRIVET_KEYS_DB", keys)?, at("PRIVET_LEDGER_DB", ledger)?);
        let origins = variable("PRIVET_PUBLIC_ORIGIN").unwrap_or_default();
        let operators = variable("PRIVET_OPERATORS").map(|text| Accounts::parse(&text));
        Ok(Self {
            addr,
            data: variable("PRIVET_DATA").map_or(unset.data, PathBuf::from),
            database,
            keys,
            ledger,
            origins: origins.split(',').map(|o| o.trim().to_owned()).filter(|o| !o.is_empty()).collect(),
            country_db: variable("PRIVET_COUNTRY_DB").map(PathBuf::from),
            trusted_proxies,
            support_url,
            operator_token: variable("PRIVET_OPERATOR_TOKEN").map(OperatorToken::new),
            operators: operators.transpose().map_err(|e| format!("PRIVET_OPERATORS: {e}"))?,
        })
    }

    /// The origins that were named, or else those under which a browser on this machine reaches the site.
    #[must_use]
    pub fn public_origins(&self) -> Vec<String> {
        if !self.origins.is_empty() {
            return self.origins.clone();
        }
        let port = self.addr.port();
        let usual = port == 80;
        let with_port =
            |host: &str| if usual { format!("http://{host}") } else { format!("http://{host}:{port}") };
        let ip = self.addr.ip();
        let mut origins = Vec::new();
        if ip.is_loopback() || ip.is_unspecified() {
            origins.extend(["127.0.0.1", "localhost", "[::1]"].map(with_port));
        } else if ip.is_ipv6() {
            origins.push(with_port(&format!("[{ip}]")));
        } else {
            origins.push(with_port(&ip.to_string()));
        }
        origins
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const DB: (&str, &str) = ("PRIVET_DB", "postgres://shop:s3cret@data.internal/shop");

    fn read(set: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    /// What is set beside it is about it.
    #[test]
    fn what_is_about_the_database_is_refused_without_it() {
        for (name, value) in [
            ("PRIVET_DB_FAILOVER", "postgres://shop:s3cret@b.internal/shop"),
            ("PRIVET_DB_SCHEMA", "shop"),
            ("PRIVET_DB_POOLER", "yes"),
            ("PRIVET_DB_POOLER", "no"),
            ("PRIVET_KEYS_DB", "postgres://shop:s3cret@keys.internal/keys"),
            ("PRIVET_LEDGER_DB", "postgres://shop:s3cret@ledger.internal/ledger"),
        ] {
            let why = read(&[(name, value)]).unwrap_err();
            assert!(why.starts_with(name) && why.contains("PRIVET_DB;") && !why.contains("s3cret"), "{why}");
            read(&[(name, value), DB]).unwrap();
            assert!(read(&[(name, " ")]).unwrap().database.is_none(), "what is empty is not set");
        }
    }

    #[test]
    fn the_schema_is_that_of_the_data() {
        let settings = read(&[DB, ("PRIVET_DB_SCHEMA", "shop"), ("PRIVET_KEYS_DB", DB.1)]).unwrap();
        let schema = |options: Option<PostgresOptions>| format!("{:?}", options.unwrap());
        assert!(schema(settings.database).contains("schema: \"shop\""));
        assert!(schema(settings.keys).contains("schema: \"privet\""));
    }

    #[test]
    fn a_pooler_is_said_with_yes_or_no() {
        for (word, pooled) in [
            ("yes", true),
            (" YES ", true),
            ("1", true),
            ("true", true),
            ("no", false),
            ("No", false),
            ("0", false),
            ("false", false),
        ] {
            let settings = read(&[
                DB,
                ("PRIVET_DB_POOLER", word),
                ("PRIVET_KEYS_DB", "postgres://keys.internal/keys"),
                ("PRIVET_LEDGER_DB", "postgres://ledger.internal/ledger"),
            ])
            .unwrap();
            for options in [settings.database, settings.keys, settings.ledger] {
                let options = format!("{:?}", options.unwrap());
                assert!(options.contains(&format!("behind_pooler: {pooled}")), "{word}: {options}");
            }
        }
        for word in ["pgbouncer", "off", "2", "y\u{1b}"] {
            let why = read(&[DB, ("PRIVET_DB_POOLER", word)]).unwrap_err();
            assert!(why.contains("PRIVET_DB_POOLER") && why.contains("yes or no"), "{why}");
            assert!(!why.contains('\u{1b}'), "{why}");
        }
    }

    /// The cause and the cure, and never the password.
    #[test]
    fn urls_that_are_none_are_told_by_name() {
        for name in ["PRIVET_DB", "PRIVET_DB_FAILOVER", "PRIVET_KEYS_DB", "PRIVET_LEDGER_DB"] {
            let why = read(&[(name, "mysql://shop:s3cret@host/shop"), DB]).unwrap_err();
            let cause = why.starts_with(&format!("{name}: "));
            assert!(cause && why.contains("postgres://") && !why.contains("s3cret"), "{why}");
        }
    }

    #[test]
    fn the_help_names_what_is_read_and_nothing_else() {
        let mut asked = BTreeSet::new();
        Settings::read(|name| {
            asked.insert(name.to_owned());
            None
        })
        .unwrap();
        let words = USAGE.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let named: BTreeSet<_> = words.filter(|w| w.starts_with("PRIVET_")).map(str::to_owned).collect();
        assert_eq!(named, asked);
    }
}
