// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Answers, Silent } from "../mocks/Precompiles.sol";
import "./EnergyBase.sol";

/// @dev contracts.md: P-256 is valid only if exactly 32 bytes equal to 1 come back; the constructor finds out whether
/// the chain has it. Here the chain has none, or something else lies at its address.
contract P256ProbeTest is EnergyBase {
    function probe(address code) private returns (bool) {
        vm.etch(address(0x100), code.code);
        return deploy(registrar).verifiesP256();
    }

    function test_noPrecompile() public view {
        check(!token.verifiesP256(), "a call to nothing succeeds with nothing");
    }

    function test_otherAnswersAreNoPrecompile() public {
        check(!probe(address(new Silent())), "nothing");
        check(!probe(address(new Answers(1, 31))), "31 bytes");
        check(!probe(address(new Answers(1, 64))), "64 bytes");
        check(!probe(address(new Answers(2, 32))), "another number");
        check(!probe(address(new Answers(1, 32))), "yes to everything");
    }

    function test_withoutItAP256DeviceCannotBeRegistered() public {
        RegisterSource memory m = aSource(SOURCE);
        m.device = p256Address(5);
        bytes32 hash = digest(m);
        (bytes memory o, bytes memory d, bytes memory r) =
            (sign(OWNER_KEY, hash), signP256(5, hash), sign(REGISTRAR_KEY, hash));
        vm.expectRevert(refusal(EnergyErrors.NotTheDevice.selector));
        token.registerSource(m, o, d, r);
        // Nor by what is put there later.
        vm.etch(address(0x100), address(new Answers(1, 32)).code);
        vm.expectRevert(refusal(EnergyErrors.NotTheDevice.selector));
        token.registerSource(m, o, d, r);
    }
}
