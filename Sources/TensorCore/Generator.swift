import CScorefieldEngine
import ScorefieldArrays

/// A seeded source of random numbers: a value.
///
/// A copy goes its own way from the same state. The same seed gives the same numbers on any number of threads.
public struct Generator: RandomNumberGenerator, @unchecked Sendable {
  // Sound: the state behind the handle is copied before a shared one is advanced.
  private var state: State

  private final class State {
    let pointer: ct_generator
    init(_ pointer: ct_generator) { self.pointer = pointer }
    deinit { Engine.api.generator_release(pointer) }
  }

  /// A generator that starts from a seed; below 2³², the numbers are those PyTorch draws from the same seed.
  public init(seed: UInt64, on device: Device = .cpu) {
    // The host's generator looks at 32 bits only, and seeds that differ in the others must not be the same.
    let seed = seed >> 32 == 0 ? seed : Self.mixed(seed)
    state = State(Self.yielding("Generator") { Engine.api.generator_create(seed, device.description, $0) })
  }

  /// SplitMix64's output function: every bit of the result depends on every bit of the argument.
  private static func mixed(_ seed: UInt64) -> UInt64 {
    var z = (seed ^ (seed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A generator that goes on from a saved state.
  public init(restoring saved: Tensor, on device: Device = .cpu) {
    self.init(seed: 0, on: device)
    Engine.api.check("Generator(restoring:)", Engine.api.generator_restore(state.pointer, saved.handle))
  }

  /// The whole state, `uint8`, to be saved and restored.
  public var saved: Tensor {
    Tensor.yielding("Generator.saved") { Engine.api.generator_state(state.pointer, $0) }
  }

  public mutating func next() -> UInt64 {
    var bits: UInt64 = 0
    makeUnique()
    Engine.api.check("Generator.next", Engine.api.generator_next(state.pointer, &bits))
    return bits
  }

  var handle: ct_generator { state.pointer }

  /// The generator as an operator's argument, its state no other value's.
  mutating func unique() -> Argument {
    makeUnique()
    return .generator(self)
  }

  private mutating func makeUnique() {
    guard !isKnownUniquelyReferenced(&state) else { return }
    let shared = state
    state = State(Self.yielding("Generator") { Engine.api.generator_copy(shared.pointer, $0) })
  }

  private static func yielding(
    _ operation: @autoclosure () -> String, _ call: (UnsafeMutablePointer<ct_generator?>) -> ct_status
  ) -> ct_generator {
    var result: ct_generator?
    Engine.api.check(operation(), call(&result))
    return result!
  }
}
