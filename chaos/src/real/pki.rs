//! Certificates of nodes and principals, and those that must be refused.

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

/// An authority that lives in a directory.
pub struct Pki {
    dir: PathBuf,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// A new authority, whose files are in `dir`.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn create(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut params = validity(2099)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Conclave test authority");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        fs::write(dir.join("ca.pem"), ca.pem())?;
        Ok(Self {
            dir: dir.to_owned(),
            ca,
        })
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// For a node at an address.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn node(&self, id: u64, host: Ipv4Addr) -> Result<Credentials> {
        let mut params = named(&format!("conclave://node/{id}"), 2099)?;
        params
            .subject_alt_names
            .push(SanType::DnsName("localhost".try_into()?));
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V4(host)));
        params
            .extended_key_usages
            .push(ExtendedKeyUsagePurpose::ServerAuth);
        self.issue(&params, &format!("node{id}"))
    }

    /// For a principal.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn principal(&self, name: &str) -> Result<Credentials> {
        self.with_uri(
            &format!("conclave://principal/{name}"),
            &format!("principal-{name}"),
        )
    }

    /// For whomever the URI names; `file` is what its files are called.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn with_uri(&self, uri: &str, file: &str) -> Result<Credentials> {
        self.issue(&named(uri, 2099)?, file)
    }

    /// For a principal, and out of date.
    ///
    /// # Errors
    /// If the files cannot be written.
    pub fn expired(&self, name: &str) -> Result<Credentials> {
        let params = named(&format!("conclave://principal/{name}"), 2021)?;
        self.issue(&params, &format!("expired-{name}"))
    }

    fn issue(&self, params: &CertificateParams, file: &str) -> Result<Credentials> {
        let pair = KeyPair::generate()?;
        let certificate = params.signed_by(&pair, &self.ca)?;
        let cert = self.dir.join(format!("{file}.pem"));
        let key = self.dir.join(format!("{file}.key"));
        fs::write(&cert, certificate.pem())?;
        fs::write(&key, pair.serialize_pem())?;
        Ok(Credentials { cert, key })
    }
}

fn validity(until_year: i32) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until_year, 1, 1);
    Ok(params)
}

fn named(uri: &str, until_year: i32) -> Result<CertificateParams> {
    let mut params = validity(until_year)?;
    params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    params.key_usages.push(KeyUsagePurpose::DigitalSignature);
    params
        .extended_key_usages
        .push(ExtendedKeyUsagePurpose::ClientAuth);
    Ok(params)
}
