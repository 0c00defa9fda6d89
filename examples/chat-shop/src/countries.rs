use std::sync::Arc;

use privet::ip::{CountryLookup, EmbeddedCountries, MaxmindCountries};

use crate::Settings;

/// The data that countries are looked up in.
#[derive(Clone, Debug)]
pub enum Countries {
    /// In the binary.
    Embedded,
    /// In a file, which can be reloaded.
    File(Arc<MaxmindCountries>),
}

impl Countries {
    /// A country file if the settings name one, else the data in the binary.
    ///
    /// # Errors
    /// A country file that cannot be used.
    pub fn open(settings: &Settings) -> privet::Result<Self> {
        Ok(match &settings.country_db {
            Some(path) => Self::File(Arc::new(MaxmindCountries::open(path)?)),
            None => Self::Embedded,
        })
    }

    /// As the installation takes it.
    #[must_use]
    pub fn lookup(&self) -> Arc<dyn CountryLookup> {
        match self {
            Self::Embedded => Arc::new(EmbeddedCountries),
            Self::File(file) => file.clone(),
        }
    }

    /// Reads the file again; when the new one is bad, the old one goes on serving.
    pub fn reload(&self) {
        let Self::File(file) = self else { return };
        match file.reload() {
            Ok(_) => tracing::info!(built = %file.built(), "the country file was reloaded"),
            Err(error) => {
                tracing::error!("the country file was not reloaded, the one before serves on: {error}");
            }
        }
    }
}
