// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import "./EnergyBase.sol";

/// @dev tests/vectors/eip712.json, made with another encoder: Solidity agrees on every hash and takes the signatures.
contract EnergyVectorsTest is EnergyBase {
    string private json;

    function setUp() public override {
        super.setUp();
        json = vm.readFile("tests/vectors/eip712.json");
        address place = vm.parseJsonAddress(json, ".contracts.EnergyToken.domain.verifyingContract");
        // Same code at the address in the vectors; it sees that it moved and derives its domain anew.
        vm.etch(place, address(token).code);
        token = IEnergy(place);
    }

    function field(uint256 index, string memory name) private pure returns (string memory) {
        return string.concat(".contracts.EnergyToken.vectors[", vm.toString(index), "].", name);
    }

    function part(uint256 index, string memory name) private view returns (bytes memory) {
        return vm.parseJsonBytes(json, field(index, name));
    }

    /// @dev The selector of the function for a message, and the digest by the test's own struct hashes.
    function expected(string memory name, bytes memory m) private view returns (bytes4, bytes32) {
        bytes32 kind = keccak256(bytes(name));
        if (kind == keccak256("RegisterSource")) {
            return (token.registerSource.selector, digest(abi.decode(m, (RegisterSource))));
        }
        if (kind == keccak256("IssueShares")) {
            return (token.issueShares.selector, digest(abi.decode(m, (IssueShares))));
        }
        if (kind == keccak256("MeterReset")) {
            return (token.resetMeter.selector, digest(abi.decode(m, (MeterReset))));
        }
        if (kind == keccak256("PauseSource")) {
            return (token.pauseSource.selector, digest(abi.decode(m, (PauseSource))));
        }
        if (kind == keccak256("Reading")) return (token.mintReading.selector, digest(abi.decode(m, (Reading))));
        if (kind == keccak256("TransferShares")) {
            return (token.transferShares.selector, digest(abi.decode(m, (TransferShares))));
        }
        check(kind == keccak256("ClaimEnergy"), name);
        return (token.claimEnergy.selector, digest(abi.decode(m, (ClaimEnergy))));
    }

    function test_hashesAgree() public view {
        check(token.DOMAIN_SEPARATOR() == vm.parseJsonBytes32(json, ".contracts.EnergyToken.domainSeparator"), "domain");
        uint256 count = vm.parseJsonUint(json, ".contracts.EnergyToken.count");
        check(count == 16, "every message, two cases");
        for (uint256 i; i < count; ++i) {
            bytes32 wanted = vm.parseJsonBytes32(json, field(i, "digest"));
            check(typed(vm.parseJsonBytes32(json, field(i, "structHash"))) == wanted, "struct hash");
            address signer = vm.parseJsonAddress(json, field(i, "signatures[0].address"));
            (bytes32 r, bytes32 s, uint8 v) = split(part(i, "signatures[0].signature"));
            check(ecrecover(wanted, v, r, s) == signer && uint256(s) <= ORDER / 2, "recovers");
            string memory name = vm.parseJsonString(json, field(i, "primaryType"));
            if (keccak256(bytes(name)) == keccak256("Permit")) continue; // below, by the function itself
            (bytes4 selector, bytes32 hash) = expected(name, part(i, "encoded"));
            check(hash == wanted, "digest by the test");
            check(token.digestOf(bytes.concat(selector, part(i, "encoded"))) == wanted, "digest by the contract");
        }
    }

    function test_theContractTakesTheSignedMessages() public {
        RegisterSource memory m = abi.decode(part(0, "encoded"), (RegisterSource));
        token = deployAt(vm.parseJsonAddress(json, ".keys.registrar.address"));
        token.registerSource(
            m,
            part(0, "signatures[0].signature"),
            part(0, "signatures[1].signature"),
            part(0, "signatures[2].signature")
        );
        vm.warp(1_760_000_900);
        for (uint256 i; i < 16; ++i) {
            if (keccak256(bytes(vm.parseJsonString(json, field(i, "primaryType")))) != keccak256("Reading")) continue;
            token.mintReading(abi.decode(part(i, "encoded"), (Reading)), part(i, "signatures[0].signature"));
            check(token.claimable(m.source, m.owner) == 250_000, "minted by the vectors");
            return;
        }
    }

    function test_permit() public {
        for (uint256 i; i < 16; ++i) {
            if (keccak256(bytes(vm.parseJsonString(json, field(i, "primaryType")))) != keccak256("Permit")) continue;
            (address from, address spender, uint256 value, uint256 nonce, uint256 deadline) =
                abi.decode(part(i, "encoded"), (address, address, uint256, uint256, uint256));
            // The signed nonce is 42; that of a fresh contract is 0, so its counter is put there.
            vm.store(address(token), keccak256(abi.encode(from, noncesSlot())), bytes32(nonce));
            (bytes32 r, bytes32 s, uint8 v) = split(part(i, "signatures[0].signature"));
            token.permit(from, spender, value, deadline, v, r, s);
            check(token.allowance(from, spender) == value, "allowed");
            return;
        }
    }

    /// @dev Where the counters of permits lie, found by looking.
    function noncesSlot() private returns (uint256 slot) {
        for (slot = 0; slot < 30; ++slot) {
            bytes32 place = keccak256(abi.encode(stranger, slot));
            vm.store(address(token), place, bytes32(uint256(77)));
            if (token.nonces(stranger) == 77) return slot;
            vm.store(address(token), place, 0);
        }
        check(false, "found");
    }

    /// @dev A token with this registrar at the address in the vectors.
    function deployAt(address registrar_) private returns (IEnergy) {
        address place = address(token);
        vm.etch(place, address(deploy(registrar_)).code);
        return IEnergy(place);
    }
}
