import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

/// Losses that samples are steered by.
@Suite struct LossTests {
  private func module(_ name: String) throws -> ScriptModule {
    try ScriptModule(
      URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Golden/scripts/\(name).pt").standardized
        .path)
  }

  @Test("the loss of a class is its negative log probability, of one class or one for each sample")
  func classes() throws {
    let (golden, classifier) = (try Golden("scripts"), try module("classifier"))
    let x = try golden["classifier.input"]
    let logits = try golden["classifier.output"]
    let expected = -(logits.exp() / logits.exp().sum(-1, keeping: true)).log()
    for label in 0..<3 {
      let loss = ClassLoss(of: [label]) { (x) throws(ArrayFileError) in try classifier(x) }
      expectClose(try loss(x), expected[Axis.all, label], within: 1e-13)
    }
    let each = ClassLoss(of: [0, 1, 2, 2, 1, 0]) { (x) throws(ArrayFileError) in try classifier(x) }
    let found = try each(x)
    for (row, label) in [0, 1, 2, 2, 1, 0].enumerated() { expectClose(found[row], expected[row, label], within: 1e-13) }
  }

  @Test(
    "the style is the Gram matrix of features: blind to places, not to channels, and its slope is finite at the example"
  )
  func style() throws {
    let features = try module("features")
    let x = SplitMix(seed: 5).unit([3, 1, 4, 4])
    let loss = try StyleLoss(example: x[..<1]) { (x) throws(ArrayFileError) in try features(x) }
    // By the formula, one sample at a time.
    func gram(_ sample: Tensor) throws -> Tensor {
      let f = try features(sample.expanded(at: 0))[0].reshaped([4, 16])
      return f.matmul(f.transposed) / 64
    }
    let found = try loss(x)
    for row in 0..<3 {
      let distance = (try gram(x[row]) - (try gram(x[0]))).squared().sum().sqrt().item
      #expect(abs(found[row].item - distance) < 1e-11)
    }
    let (_, pullback) = try vjp(at: x) { (x) throws(ArrayFileError) in try loss(x) }
    #expect(pullback(.ones([3])).isFinite().all())
    // Raw channels: places may be shuffled.
    let raw = StyleLoss(example: SplitMix(seed: 6).unit([1, 3, 5])) { $0 }
    let y = SplitMix(seed: 7).unit([2, 3, 5])
    expectClose(raw(y), raw(y.selecting(Tensor([4, 2, 0, 1, 3]), 2)), within: 1e-14)
    #expect((raw(y) - raw(y.selecting(Tensor([1, 0, 2]), 1))).abs().min().item > 1e-3)
  }

  @Test("a reward head answers as in Python, from a file too")
  func reward() throws {
    let golden = try Golden("scripts")
    let layers = try (0..<2).map { (weight: try golden["head.\($0).weight"], bias: try golden["head.\($0).bias"]) }
    let features = try golden["features.output"]
    expectClose(RewardHead(layers)(features), try golden["head.output"], within: 1e-13)
    expectClose(RewardHead(layers, activation: .relu)(features), try golden["head.relu"], within: 1e-13)
    try withTemporaryFolder { folder in
      func file(_ arrays: [(String, Tensor)]) throws -> String {
        try SafeTensors.write(arrays.map { ($0.0, $0.1.hostArray) }, to: "\(folder)/head.safetensors")
        return "\(folder)/head.safetensors"
      }
      // In the order of the numbers, not of the letters.
      let path = try file([
        ("layers.10.weight", layers[1].weight), ("layers.10.bias", layers[1].bias),
        ("layers.2.weight", layers[0].weight),
        ("layers.2.bias", layers[0].bias),
      ])
      let head = try RewardHead(path, type: .float64)
      #expect(head.featureCount == 64)
      expectClose(head(features), try golden["head.output"], within: 1e-13)

      func sentence(_ arrays: [(String, Tensor)]) throws -> String? {
        let path = try file(arrays)
        let error = #expect(throws: ArrayFileError.self) { _ = try RewardHead(path, type: .float64) }
        return error.map { String($0.description.dropFirst(path.count + 2)) }
      }
      let repair = "; give layers as 'N.weight' [m, n] and 'N.bias' [m], the last with m = 1"
      #expect(try sentence([("a", layers[0].weight)]) == "holds no tensor whose name ends in 'weight'" + repair)
      #expect(try sentence([("0.weight", layers[0].bias)]) == "'0.weight' has shape [7]" + repair)
      #expect(try sentence([("0.weight", layers[0].weight)]) == "the last layer has 7 outputs" + repair)
      #expect(
        try sentence([("0.weight", layers[0].weight), ("0.bias", layers[1].bias)])
          == "'0.bias' has shape [1], '0.weight' [7, 64]" + repair)
      #expect(
        try sentence([("0.weight", layers[1].weight), ("1.weight", layers[1].weight)])
          == "'1.weight' has shape [1, 7], the layer before it [1, 7]" + repair)
    }
  }
}
