//! Material that comes from outside straight into the HSM: no node ever holds it in clear.

use super::imports::takes;
use super::{FIRST_KEK, Unsealed, bind_public};
use crate::error::ServiceError;
use conclave_core::{
    Algorithm, ImportJob, ImportJobId, ImportMethod, KeyId, Material, Protection, VersionNumber,
    Wrapped,
};
use conclave_crypto::wrap;
use conclave_env::hsm::{OaepHash, RsaSize};
use conclave_env::{HsmError, HsmKeyKind};

/// The kind of key that unwraps by a method.
fn transport(method: ImportMethod) -> HsmKeyKind {
    let (size, hash) = match method {
        ImportMethod::RsaOaep3072Sha256Aes256 => (RsaSize::Bits3072, OaepHash::Sha256),
        ImportMethod::RsaOaep4096Sha256Aes256 => (RsaSize::Bits4096, OaepHash::Sha256),
        ImportMethod::RsaOaep3072Sha1Aes256 => (RsaSize::Bits3072, OaepHash::Sha1),
        ImportMethod::RsaOaep4096Sha1Aes256 => (RsaSize::Bits4096, OaepHash::Sha1),
    };
    HsmKeyKind::RsaUnwrap(size, hash)
}

/// Where imported material is to go.
#[derive(Clone, Copy)]
pub struct ImportPlace {
    /// The key.
    pub id: KeyId,
    /// The version.
    pub version: VersionNumber,
    /// The key's.
    pub algorithm: Algorithm,
    /// The key's.
    pub protection: Protection,
}

impl Unsealed {
    /// The method that was asked for, or the best there is.
    ///
    /// # Errors
    /// [`ServiceError::MethodNotOffered`] if the HSM lacks it.
    pub fn import_method(
        &self,
        asked: Option<ImportMethod>,
        protection: Protection,
    ) -> Result<ImportMethod, ServiceError> {
        let [best, ..] = ImportMethod::ALL;
        if protection == Protection::Software {
            return Ok(asked.unwrap_or(best));
        }
        let offered = |method: &ImportMethod| self.hsm.offers(transport(*method));
        let offered: Vec<_> = ImportMethod::ALL.into_iter().filter(offered).collect();
        let chosen = asked.or(offered.first().copied());
        if let Some(method) = chosen.filter(|method| offered.contains(method)) {
            return Ok(method);
        }
        let names: Vec<_> = offered.into_iter().map(ImportMethod::as_str).collect();
        let instead = if names.is_empty() {
            "it takes in no keys at all: choose protection SOFTWARE".to_owned()
        } else {
            format!("choose {}, or protection SOFTWARE", names.join(" or "))
        };
        Err(ServiceError::MethodNotOffered {
            hsm: self.hsm.description(),
            method: asked.unwrap_or(best).as_str(),
            instead,
        })
    }

    /// The key pair of an import job, made in the HSM: the private half wrapped, and the public one in DER.
    ///
    /// # Errors
    /// As the HSM has them.
    pub(super) async fn import_pair_inside(
        &self,
        id: ImportJobId,
        method: ImportMethod,
    ) -> Result<(Wrapped, Box<[u8]>), ServiceError> {
        let kind = transport(method);
        let pair = self.hsm.generate_pair_wrapped(self.hsm_kek, kind).await?;
        let binding = self.job_binding(id, method, Protection::Hsm);
        let binding = bind_public(&binding, Some(&pair.public));
        let tag = wrap::bind_tag(&self.integrity, &binding, &pair.private);
        let wrapped = Wrapped {
            kek: FIRST_KEK,
            blob: pair.private,
            tag: tag.to_vec(),
        };
        Ok((wrapped, pair.public.into_boxed_slice()))
    }

    /// What was wrapped for an import job, as the material of a version.
    ///
    /// # Errors
    /// [`ServiceError::Tampered`] if the job's own key is not what it should be; [`ServiceError::WrappedKeyInvalid`] if
    /// what was wrapped does not unwrap, or is no key of the algorithm; [`ServiceError::NotOffered`],
    /// [`ServiceError::NotImported`]; else as the HSM has them.
    pub async fn import_inside(
        &self,
        (id, job): (ImportJobId, &ImportJob),
        private: &Wrapped,
        wrapped: &[u8],
        place: ImportPlace,
    ) -> Result<Material, ServiceError> {
        let algorithm = place.algorithm;
        let kind = self.offered(algorithm)?;
        if !self.hsm.imports(kind) {
            return Err(ServiceError::NotImported {
                hsm: self.hsm.description(),
                algorithm: algorithm.as_str(),
            });
        }
        let method = self.import_method(Some(job.method), Protection::Hsm)?;
        let tampered = || ServiceError::Tampered {
            key: format!("import job {id}"),
            version: 1,
        };
        let binding = self.job_binding(id, method, Protection::Hsm);
        let binding = bind_public(&binding, Some(&job.public));
        wrap::verify_tag(&self.integrity, &binding, &private.blob, &private.tag)
            .map_err(|_| tampered())?;
        let hsm = &*self.hsm;
        let opened = hsm
            .unwrap(self.hsm_kek, &private.blob, transport(method))
            .await;
        let is_refused = |error: &HsmError| matches!(error, HsmError::Refused { .. });
        let key = opened.map_err(|e| if is_refused(&e) { tampered() } else { e.into() })?;
        let imported = hsm.import_wrapped(key, self.hsm_kek, wrapped, kind).await;
        hsm.destroy(key).await?;
        let invalid = || ServiceError::WrappedKeyInvalid {
            algorithm: algorithm.as_str(),
            takes: takes(algorithm, Protection::Hsm),
        };
        let imported = imported.map_err(|e| if is_refused(&e) { invalid() } else { e.into() })?;
        let binding = self.binding(place.id, place.version, algorithm, Protection::Hsm);
        let binding = bind_public(&binding, imported.public.as_deref());
        let tag = wrap::bind_tag(&self.integrity, &binding, &imported.wrapped);
        Ok(Material {
            wrapped: Wrapped {
                kek: FIRST_KEK,
                blob: imported.wrapped,
                tag: tag.to_vec(),
            },
            public: imported.public.map(Vec::into_boxed_slice),
        })
    }
}
