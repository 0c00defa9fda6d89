use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

use privet::ip::TrustedProxies;
use privet_postgres::PostgresOptions;

use crate::{Accounts, OperatorToken};

/// What can be set, by environment variables of these names.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `PRIVET_ADDR`: where to listen; `127.0.0.1:3000`.
    pub addr: SocketAddr,
    /// `PRIVET_DATA`: the folder for database, keys and ledger; `./chat-data`. With `PRIVET_DB`, for the installation's key
    /// alone.
    pub data: PathBuf,
    /// `PRIVET_DB`: the URL of a PostgreSQL, `postgres://…`, instead of the files; `PRIVET_DB_FAILOVER`: that of another
    /// server of the same database, such as its standby, which is gone on with once it is promoted; `PRIVET_DB_SCHEMA`: the
    /// schema in it, `privet`; and `PRIVET_DB_POOLER`: set to anything if a pooler is in front of it.
    pub database: Option<PostgresOptions>,
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
            origins: Vec::new(),
            country_db: None,
            trusted_proxies: TrustedProxies::none(),
            support_url: None,
            operator_token: None,
            operators: None,
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|v| !v.trim().is_empty())
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// A sentence that names the variable, what is wrong and what to do.
    pub fn from_env() -> Result<Self, String> {
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
        let database = variable("PRIVET_DB").map(|url| PostgresOptions::new(&url)).transpose();
        let database = database.map_err(|e| format!("PRIVET_DB: {e}"))?;
        let database = match (database, variable("PRIVET_DB_FAILOVER")) {
            (Some(database), Some(url)) => {
                Some(database.failover_url(&url).map_err(|e| format!("PRIVET_DB_FAILOVER: {e}"))?)
            }
            (None, Some(_)) => {
                return Err("PRIVET_DB_FAILOVER is another server of PRIVET_DB; set that too".to_owned());
            }
            (database, None) => database,
        };
        let database = match variable("PRIVET_DB_SCHEMA") {
            Some(schema) => database.map(|d| d.schema(&schema)),
            None => database,
        };
        let database = match variable("PRIVET_DB_POOLER") {
            Some(_) => database.map(PostgresOptions::behind_pooler),
            None => database,
        };
        let origins = variable("PRIVET_PUBLIC_ORIGIN").unwrap_or_default();
        let operators = variable("PRIVET_OPERATORS").map(|text| Accounts::parse(&text));
        Ok(Self {
            addr,
            data: variable("PRIVET_DATA").map_or(unset.data, PathBuf::from),
            database,
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
