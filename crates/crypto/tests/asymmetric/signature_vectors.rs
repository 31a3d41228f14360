//! RFC 8032 (Ed25519) and RFC 6979 (keys of ECDSA, and signatures to verify).

use conclave_crypto::sign::{
    EcdsaForm, Input, KeyKind, Scheme, SigningKey, VerifyingKey, generate,
};

/// RFC 8032, section 7.1: seed, public key, message, signature.
const ED25519: [[&str; 4]; 3] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c\
         f9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0\
         f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f76098\
         4dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
];

/// RFC 6979, appendices A.2.5 and A.2.6: scalar, x, y, and r and s for "sample" with the hash of
/// the curve's size.
const ECDSA: [(KeyKind, [&str; 5]); 2] = [
    (
        KeyKind::EcdsaP256,
        [
            "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
            "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6",
            "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ],
    ),
    (
        KeyKind::EcdsaP384,
        [
            "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
            "EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13",
            "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720",
            "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
            "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
        ],
    ),
];

#[test]
fn ed25519_is_that_of_rfc_8032() {
    for vector in ED25519 {
        let [seed, public, message, signature] = vector.map(|text| hex::decode(text).unwrap());
        let material = generate(KeyKind::Ed25519, &seed).ok().unwrap();
        let key = SigningKey::new(KeyKind::Ed25519, &material).ok().unwrap();
        assert_eq!(key.public_key().raw(), public);
        let input = Input::Message(&message);
        assert_eq!(key.sign(Scheme::Ed25519, input).unwrap(), signature);
        let verifying = VerifyingKey::new(KeyKind::Ed25519, key.public_key())
            .ok()
            .unwrap();
        assert_eq!(verifying.verify(Scheme::Ed25519, input, &signature), Ok(()));
    }
}

#[test]
fn ecdsa_keys_and_signatures_are_those_of_rfc_6979() {
    for (kind, vector) in ECDSA {
        let [scalar, x, y, r, s] = vector.map(|text| hex::decode(text).unwrap());
        let material = generate(kind, &scalar).ok().unwrap();
        let key = SigningKey::new(kind, &material).ok().unwrap();
        assert_eq!(key.public_key().raw(), [vec![4], x, y].concat());
        let verifying = VerifyingKey::new(kind, key.public_key()).ok().unwrap();
        let raw = [r, s].concat();
        let scheme = Scheme::Ecdsa(EcdsaForm::Raw);
        assert_eq!(
            verifying.verify(scheme, Input::Message(b"sample"), &raw),
            Ok(())
        );
        assert!(
            verifying
                .verify(scheme, Input::Message(b"test"), &raw)
                .is_err()
        );
    }
}
