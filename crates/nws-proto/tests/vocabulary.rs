//! Descriptors, modes, error codes, tokens and proofs: the words of the protocol and their numbers.

use std::collections::BTreeSet;

use nws_proto::{
    Descriptor, ErrorClass, ErrorCode, Fault, Language, Mode, Token, client_proof, proofs_match, server_proof,
};

#[test]
fn descriptors_are_those_that_older_clients_know() {
    assert_eq!(Descriptor::text(Language::Python), Descriptor(0x0100_0001));
    assert_eq!(Descriptor::bytes(Language::Python), Descriptor(0x0100_0003));
    assert_eq!(Descriptor::json(Language::Python), Descriptor(0x0100_0005));
    assert_eq!(Descriptor::native(Language::Python), Descriptor(0x0100_0008));
    assert_eq!(Descriptor::serialized(Language::Python), Descriptor(0x0100_0000));
    assert_eq!(Descriptor::serialized_with_buffers(Language::Python), Descriptor(0x0100_000c));
}

#[test]
fn every_language_has_its_number_and_none_is_above_127() {
    let numbers = [
        (Language::Python, 1),
        (Language::Matlab, 2),
        (Language::R, 3),
        (Language::Perl, 4),
        (Language::Ruby, 5),
        (Language::Octave, 6),
        (Language::Java, 7),
        (Language::CSharp, 8),
        (Language::ObjectiveC, 9),
        (Language::Rust, 10),
    ];
    for (language, number) in numbers {
        for descriptor in [Descriptor::text(language), Descriptor::native(language), Descriptor::serialized(language)] {
            assert_eq!(descriptor.language(), number, "{language:?}");
        }
        assert!(number <= 127);
    }
}

/// (descriptor, string, bytes, JSON, native)
#[test]
fn a_descriptor_says_how_its_value_is_to_be_read() {
    let r = Language::R;
    let table = [
        (Descriptor::text(r), true, false, false, false),
        (Descriptor::bytes(r), true, true, false, false),
        (Descriptor::json(r), true, false, true, false),
        (Descriptor::native(r), false, false, false, true),
        (Descriptor::serialized(r), false, false, false, false),
        // Bit 1 means something only beside bit 0.
        (Descriptor(0x0300_0002), false, false, false, false),
        // A later encoding is neither JSON nor native.
        (Descriptor(0x0300_000d), true, false, false, false),
    ];
    for (descriptor, string, bytes, json, native) in table {
        let read = (descriptor.is_string(), descriptor.is_bytes(), descriptor.is_json(), descriptor.is_native());
        assert_eq!(read, (string, bytes, json, native), "{descriptor:08x?}");
        assert!(!descriptor.has_buffers(), "{descriptor:08x?}");
    }
    assert!(Descriptor::serialized_with_buffers(r).has_buffers());
}

#[test]
fn every_mode_has_one_name_and_one_byte() {
    for (mode, name, byte) in
        [(Mode::Fifo, "fifo", 1), (Mode::Lifo, "lifo", 2), (Mode::Multi, "multi", 3), (Mode::Single, "single", 4)]
    {
        assert_eq!((mode.name(), mode.to_wire()), (name, byte));
        assert_eq!(Mode::from_name(name.as_bytes()), Some(mode));
        assert_eq!(Mode::from_wire(byte), Some(mode));
    }
    assert_eq!((0..=u8::MAX).filter(|byte| Mode::from_wire(*byte).is_some()).count(), Mode::ALL.len());
    assert_eq!([&b"FIFO"[..], b"", b"unknown"].map(Mode::from_name), [None; 3]);
}

#[test]
fn every_error_has_its_own_number_and_slug_and_the_class_of_its_number() {
    let numbers: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.to_wire()).collect();
    let slugs: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.slug()).collect();
    assert_eq!((numbers.len(), slugs.len()), (ErrorCode::ALL.len(), ErrorCode::ALL.len()));
    for code in ErrorCode::ALL {
        assert_eq!(ErrorCode::from_wire(code.to_wire()), Some(*code));
        assert!(code.slug().bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase()), "{}", code.slug());
        let class = match code.to_wire() / 100 {
            1 => ErrorClass::Malformed,
            2 => ErrorClass::Refused,
            3 => ErrorClass::NotThere,
            4 => ErrorClass::Misuse,
            9 => ErrorClass::Internal,
            hundreds => panic!("{hundreds}xx is no class"),
        };
        assert_eq!(code.class(), class, "{}", code.slug());
    }
    assert_eq!((0..=u16::MAX).filter(|number| ErrorCode::from_wire(*number).is_some()).count(), ErrorCode::ALL.len());
}

#[test]
fn a_fault_shows_its_message_and_its_slug() {
    let fault = Fault::new(ErrorCode::LeaseEnded, "expected a lease of this session, got 7");
    assert_eq!(fault.to_string(), "expected a lease of this session, got 7 (lease-ended)");
}

#[test]
fn a_token_reads_as_it_was_written_and_does_not_show_itself() {
    let token = Token(core::array::from_fn(|i| i as u8));
    assert_eq!(token.to_hex(), "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
    assert!(Token::from_hex(&format!(" {}\n", token.to_hex().to_uppercase())) == Some(token.clone()));
    for wrong in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32), &"+0".repeat(32)] {
        assert!(Token::from_hex(wrong).is_none(), "{wrong:?}");
    }
    assert_eq!(format!("{token:?}"), "Token(…)");
}

/// The expected bytes come from another implementation: Python's `hmac` and `hashlib`.
#[test]
fn proofs_are_hmac_sha_256_over_label_and_nonces() {
    let token = Token(core::array::from_fn(|i| i as u8));
    let hex = |proof: [u8; 32]| Token(proof).to_hex();
    assert_eq!(
        hex(client_proof(&token, &[0xaa; 32], &[0xbb; 32])),
        "4a2038fbee932aec478b6405bd05feb4dd3cac1a206c0388e90dad2190f20216"
    );
    assert_eq!(
        hex(server_proof(&token, &[0xaa; 32], &[0xbb; 32])),
        "4e94977472f6c4ead3c113b2d7120b02b7fe4ef23822b1e48dde01aea8e20f76"
    );
}

#[test]
fn a_proof_holds_for_its_end_its_token_and_both_nonces_alone() {
    let (token, server, client) = (Token([1; 32]), [2; 32], [3; 32]);
    let proof = client_proof(&token, &server, &client);
    assert!(proofs_match(&proof, &client_proof(&token, &server, &client)));
    let mut others = vec![
        server_proof(&token, &server, &client),
        client_proof(&Token([0; 32]), &server, &client),
        client_proof(&token, &[0; 32], &client),
        client_proof(&token, &server, &[0; 32]),
        client_proof(&token, &client, &server),
    ];
    for at in 0..proof.len() {
        let mut other = proof;
        other[at] ^= 1;
        others.push(other);
    }
    for other in others {
        assert!(!proofs_match(&proof, &other), "{other:02x?}");
    }
}
