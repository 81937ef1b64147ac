import Scorefield
import ScorefieldTestSupport
import Testing

/// Steps against PyTorch's fused AdamW: `Tests/Golden/make_training.py`.
@Suite struct AdamWTests {
  struct Options: Decodable {
    let beta1, beta2, epsilon, weightDecay: Double
  }

  /// The stored steps of one precision.
  struct World {
    let golden: Golden
    let type: String
    let rates: [Double]

    init(_ type: ElementType) throws {
      golden = try Golden("training")
      self.type = type.rawValue
      rates = try golden.metadata("rates")
    }

    func all(_ what: String) throws -> [Tensor] { try (0..<4).map { try golden["\(type).\(what)\($0)"] } }
    func gradients(_ step: Int) throws -> [Tensor] { try all("gradient\(step).") }
    func optimizer() throws -> AdamW {
      let options: Options = try golden.metadata("options")
      return AdamW(
        for: try all("start"), beta1: options.beta1, beta2: options.beta2, epsilon: options.epsilon,
        weightDecay: options.weightDecay)
    }
  }

  static func expectIdentical(_ actual: [Tensor], _ expected: [Tensor], _ comment: Comment? = nil) {
    #expect(actual.count == expected.count)
    for (a, b) in zip(actual, expected) {
      #expect(a.elementType == b.elementType && a.isIdentical(to: b), comment)
    }
  }

  @Test("every step has PyTorch's bits, with weight decay and without", arguments: [ElementType.float32, .float64])
  func golden(_ type: ElementType) throws {
    let world = try World(type)
    for (name, start) in [("adam", AdamW(for: try world.all("start"))), ("adamw", try world.optimizer())] {
      var (optimizer, parameters) = (start, try world.all("start"))
      for (index, rate) in world.rates.enumerated() {
        let step = index + 1
        optimizer.step(&parameters, gradients: try world.gradients(step), learningRate: rate)
        Self.expectIdentical(parameters, try world.all("\(name)\(step)."), "\(name), step \(step)")
      }
      #expect(optimizer.state.steps == world.rates.count)
      guard name == "adamw" else { continue }
      Self.expectIdentical(optimizer.state.firstMoments, try world.all("adamw.first"))
      Self.expectIdentical(optimizer.state.secondMoments, try world.all("adamw.second"))
    }
  }

  @Test("an optimizer restored from its state goes on with the same bits")
  func restoring() throws {
    let world = try World(.float32)
    var (optimizer, parameters) = (try world.optimizer(), try world.all("start"))
    for step in 1...3 {
      optimizer.step(&parameters, gradients: try world.gradients(step), learningRate: world.rates[step - 1])
    }
    // Through host memory, as a checkpoint has it, which must not be written into.
    let arrays = (optimizer.state.firstMoments.map(\.hostArray), optimizer.state.secondMoments.map(\.hostArray))
    let saved = AdamW.State(firstMoments: arrays.0.map(Tensor.init), secondMoments: arrays.1.map(Tensor.init), steps: 3)
    optimizer = AdamW(
      restoring: saved, beta1: optimizer.beta1, beta2: optimizer.beta2, epsilon: optimizer.epsilon,
      weightDecay: optimizer.weightDecay)
    let before = arrays.0.map { Tensor($0).doubles }
    for step in 4...6 {
      optimizer.step(&parameters, gradients: try world.gradients(step), learningRate: world.rates[step - 1])
    }
    Self.expectIdentical(parameters, try world.all("adamw6."))
    #expect(arrays.0.map { Tensor($0).doubles } == before)
  }

  @Test("what was copied before a step stays what it was")
  func copies() throws {
    let world = try World(.float64)
    var (optimizer, parameters) = (try world.optimizer(), try world.all("start"))
    optimizer.step(&parameters, gradients: try world.gradients(1), learningRate: 0.01)

    /// The numbers themselves: a tensor might change behind our back.
    func values(_ tensors: [Tensor]) -> [[Double]] { tensors.map(\.doubles) }
    let gradients = try world.gradients(2)
    let (kept, keptOptimizer, one) = (parameters, optimizer, parameters[2])
    let row = parameters[0][1]
    let flat = parameters[2].reshaped(-1)
    let (numbers, moments) = (values(kept), values(optimizer.state.firstMoments + optimizer.state.secondMoments))
    let (rowNumbers, gradientNumbers) = (row.doubles, values(gradients))
    optimizer.step(&parameters, gradients: gradients, learningRate: 0.01)
    let afterwards = values(parameters)
    #expect(afterwards != numbers)
    #expect(values(kept) == numbers && one.doubles == numbers[2])
    #expect(row.doubles == rowNumbers && flat.doubles == numbers[2])
    #expect(values(keptOptimizer.state.firstMoments + keptOptimizer.state.secondMoments) == moments)
    #expect(values(gradients) == gradientNumbers)

    // The copy takes the same step, and steps in turn do not meet.
    var (twin, twinParameters) = (keptOptimizer, kept)
    twin.step(&twinParameters, gradients: gradients, learningRate: 0.01)
    #expect(values(twinParameters) == afterwards && values(parameters) == afterwards && values(kept) == numbers)
    twin.step(&twinParameters, gradients: gradients, learningRate: 0.01)
    #expect(values(parameters) == afterwards && values(twinParameters) != afterwards)
  }

  @Test("parameters that share memory, and views that repeat it, are told apart")
  func views() {
    let base = Tensor([1.0, 2])
    var parameters = [base, base, base.broadcast(to: [3, 2]), base[0]]
    var optimizer = AdamW(for: parameters)
    let gradients = parameters.map { Tensor.ones(like: $0) }
    optimizer.step(&parameters, gradients: gradients, learningRate: 0.1)
    optimizer.step(&parameters, gradients: gradients, learningRate: 0.1)
    // A constant gradient moves by the learning rate.
    for (parameter, start) in zip(parameters, [base, base, base.broadcast(to: [3, 2]), base[0]]) {
      expectClose(parameter, start - 0.2, within: 1e-7)
    }
    #expect(base.doubles == [1, 2])
  }

  @Test("gradients in another order in memory are read by their indices")
  func layouts() {
    let gradient = SplitMix(seed: 1).unit([5, 3])
    var (parameters, expected) = ([Tensor.zeros([3, 5])], [Tensor.zeros([3, 5])])
    var (a, b) = (AdamW(for: parameters), AdamW(for: expected))
    a.step(&parameters, gradients: [gradient.transposed], learningRate: 0.1)
    b.step(&expected, gradients: [Tensor(gradient.transposed.doubles, shape: [3, 5])], learningRate: 0.1)
    Self.expectIdentical(parameters, expected)
    parameters = [gradient.transposed]
    var c = AdamW(for: parameters)
    let other = SplitMix(seed: 2).unit([3, 5])
    c.step(&parameters, gradients: [other], learningRate: 0.1)
    expectClose(parameters[0], gradient.transposed - 0.1 * other.sign(), within: 1e-6)
    // The same with memory of its own: an elementwise result has the order of its argument.
    parameters = [gradient.transposed * 1]
    c = AdamW(for: parameters)
    c.step(&parameters, gradients: [other], learningRate: 0.1)
    expectClose(parameters[0], gradient.transposed - 0.1 * other.sign(), within: 1e-6)
  }

  @Test("a step writes into the memory it has, where nobody else has it")
  func inPlace() {
    var parameters = [Tensor.zeros([1000])]
    var optimizer = AdamW(for: parameters)
    let gradients = [Tensor.ones([1000])]
    optimizer.step(&parameters, gradients: gradients, learningRate: 0.1)
    #expect(parameters.areUnique && !gradients.isEmpty)
    let shared = parameters
    #expect(!parameters.areUnique && shared.count == 1)
  }

  @Test("gradients of a loss over a module's parameters train it")
  func training() {
    var generator = Generator(seed: 1)
    let network = Linear(3, 2, using: &generator)
    let x = Tensor.normal([64, 3], type: .float32, using: &generator)
    let truth = Linear(3, 2, using: &generator)
    var parameters = network.parameters
    var optimizer = AdamW(for: parameters)
    var losses: [Double] = []
    for _ in 0..<200 {
      let (loss, gradients) = valueAndGradients(at: parameters) {
        (network.replacing(parameters: $0)(x) - truth(x)).squared().mean()
      }
      optimizer.step(&parameters, gradients: gradients, learningRate: 0.03)
      losses.append(loss.item)
    }
    #expect(losses[199] < 1e-4 * losses[0])
    expectClose(parameters[0], truth.weight, within: 0.02)
  }
}
