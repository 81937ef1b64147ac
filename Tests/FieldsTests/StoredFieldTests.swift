import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct StoredFieldTests {
  /// A folder whose shards hold so many rows each.
  private func shards(
    _ data: Tensor, _ counts: [Int], in folder: String, safetensors: Bool = false
  ) throws -> StoredRows {
    try? FileManager.default.removeItem(atPath: "\(folder)/shards")
    try FileManager.default.createDirectory(atPath: "\(folder)/shards", withIntermediateDirectories: false)
    var first = 0
    for (index, count) in counts.enumerated() {
      let name = "\(folder)/shards/\(String(format: "%03d", index))"
      let rows = data[first..<(first + count)].hostArray
      if safetensors {
        try SafeTensors.write([("data", rows)], to: "\(name).safetensors")
      } else {
        try NPY.write(rows, to: "\(name).npy")
      }
      first += count
    }
    #expect(first == data.batch)
    return try StoredRows("\(folder)/shards")
  }

  private func write(_ tensor: Tensor, _ name: String, in folder: String) throws -> String {
    try NPY.write(tensor.hostArray, to: "\(folder)/\(name)")
    return "\(folder)/\(name)"
  }

  private func expectIdentical(
    _ a: PosteriorMoments, _ b: PosteriorMoments, _ comment: Comment? = nil, at place: SourceLocation = #_sourceLocation
  ) {
    #expect(a.logDensity.isIdentical(to: b.logDensity), comment, sourceLocation: place)
    #expect(a.mean.isIdentical(to: b.mean), comment, sourceLocation: place)
    #expect(a.score.isIdentical(to: b.score), comment, sourceLocation: place)
    #expect(a.covarianceTrace.isIdentical(to: b.covarianceTrace), comment, sourceLocation: place)
    #expect(a.hessianProduct!.isIdentical(to: b.hessianProduct!), comment, sourceLocation: place)
  }

  private func expectClose(
    _ a: PosteriorMoments, _ b: PosteriorMoments, within tolerance: Double, at place: SourceLocation = #_sourceLocation
  ) {
    ScorefieldTestSupport.expectClose(a.logDensity, b.logDensity, within: tolerance, sourceLocation: place)
    ScorefieldTestSupport.expectClose(a.mean, b.mean, within: tolerance, sourceLocation: place)
    ScorefieldTestSupport.expectClose(a.score, b.score, within: tolerance, sourceLocation: place)
    ScorefieldTestSupport.expectClose(a.covarianceTrace, b.covarianceTrace, within: tolerance, sourceLocation: place)
    ScorefieldTestSupport.expectClose(a.hessianProduct!, b.hessianProduct!, within: tolerance, sourceLocation: place)
  }

  @Test("the same data in any shards give the same bits", arguments: [ElementType.float64, .float32], [2, 12])
  func sharding(_ type: ElementType, _ dimension: Int) throws {
    try withTemporaryFolder { folder in
      let data = SplitMix(seed: 50).symmetric([1500, dimension])
      let (x, v) = (
        SplitMix(seed: 51).unit([5, dimension]).to(type), SplitMix(seed: 52).unit([5, dimension]).to(type)
      )
      for time in [0.01, 0.4, 20] {
        let whole = StoredField(try StoredPoints(shards(data, [1500], in: folder), type: type), on: .edm)
        let expected = whole.posterior(x, at: time, along: v)
        #expect(whole.denoise(x, at: time).isIdentical(to: expected.mean))
        for (counts, isNamed) in [([1, 255, 256, 500, 0, 488], false), ([700, 800], true)] {
          let points = try StoredPoints(shards(data, counts, in: folder, safetensors: isNamed), type: type)
          #expect(points.count == 1500 && points.pointShape == [dimension])
          let field = StoredField(points, on: .edm)
          expectIdentical(field.posterior(x, at: time, along: v), expected, "\(counts)")
          #expect(field.failure == nil)
        }
      }
    }
  }

  @Test("the data may come in chunks of any length")
  func chunks() throws {
    // 24 MB: three chunks, whose ends are no ends of shards.
    try withTemporaryFolder { folder in
      let data = SplitMix(seed: 53).symmetric([3000, 1000])
      let rows = try shards(data, [1234, 1766], in: folder)
      let points = try StoredPoints(rows)
      let x = data[10..<12] + 0.1 * SplitMix(seed: 54).unit([2, 1000])
      let (stored, v) = (StoredField(points, on: .edm), SplitMix(seed: 55).unit([2, 1000]))
      var (stream, passed) = (stored.stream(x, at: 3, along: v), [Int]())
      while let done = try stream.next() { passed.append(done) }
      #expect(passed.count >= 2 && passed == passed.sorted() && passed.last == 3000 && stream.count == 3000)
      expectClose(
        stream.posterior, EmpiricalDenoiser(data: data, on: .edm).posterior(x, at: 3, along: v), within: 1e-12)
      expectIdentical(stream.posterior, stored.posterior(x, at: 3, along: v))
    }
  }

  @Test("small floating-point numbers are points too", arguments: [ElementType.float16, .bfloat16])
  func halves(_ type: ElementType) throws {
    try withTemporaryFolder { folder in
      let data = SplitMix(seed: 74).symmetric([90, 3]).to(type)
      let points = try StoredPoints(shards(data, [50, 40], in: folder, safetensors: true))
      let x = SplitMix(seed: 75).unit([3, 3])
      expectClose(
        StoredField(points, on: .edm).posterior(x, at: 0.4, along: x),
        EmpiricalDenoiser(data: data.to(.float64), on: .edm).posterior(x, at: 0.4, along: x), within: 1e-12)
    }
  }

  @Test("it is the field of the same data in memory", arguments: [0.01, 0.3, 30], [1, 3, 16])
  func memory(_ time: Double, _ dimension: Int) throws {
    try withTemporaryFolder { folder in
      let data = SplitMix(seed: 56).symmetric([700, dimension])
      let weights = SplitMix(seed: 57).uniform([700]).replacing(
        with: 0, where: SplitMix(seed: 58).uniform([700]) .< 0.3)
      let (x, v) = (
        data[..<6] + time * SplitMix(seed: 59).unit([6, dimension]), SplitMix(seed: 60).unit([6, dimension])
      )
      let rows = try shards(data, [300, 400], in: folder)
      for weights in [nil, weights] {
        let selection = try weights.map {
          try PointSelection(count: 700, weights: write($0, "weights.npy", in: folder))
        }
        let points = try StoredPoints(rows, selection: selection)
        #expect(points.count == (weights.map { ($0 .> 0).to(.int64).sum().integers[0] } ?? 700))
        expectClose(
          StoredField(points, on: .edm).posterior(x, at: time, along: v),
          EmpiricalDenoiser(data: data, weights: weights, on: .edm).posterior(x, at: time, along: v), within: 1e-10)
      }
    }
  }

  @Test("whole numbers are grey levels", arguments: [ElementType.uint8, .uint16, .int8, .int64, .uint32])
  func levels(_ type: ElementType) throws {
    try withTemporaryFolder { folder in
      let grey = Tensor(SplitMix(seed: 61).uniform(300 * 4).map { Int($0 * 17) }, shape: [300, 2, 2])
      let rows = try shards(grey.to(type), [100, 200], in: folder)
      let points = try StoredPoints(rows, levels: GreyLevels(17))
      #expect(points.levels == GreyLevels(17) && points.pointShape == [2, 2])
      let x = SplitMix(seed: 62).unit([3, 2, 2])
      let data = GreyLevels(17).scaled(grey)
      expectClose(
        StoredField(points, on: .edm).posterior(x, at: 0.5, along: x),
        EmpiricalDenoiser(data: data, on: .edm).posterior(x, at: 0.5, along: x), within: 1e-12)
      #expect(try points.rows([299, 0]).isIdentical(to: data.selecting(Tensor([299, 0]))))
      let single = try StoredPoints(rows, type: .float32, levels: GreyLevels(17))
      #expect(try single.rows([7]).isIdentical(to: data[7..<8].to(.float32)))
      let error = #expect(throws: ArrayFileError.self) { try StoredPoints(rows, levels: GreyLevels(16)) }
      let first = try #require(grey.integers.firstIndex(of: 16)) / 4
      #expect(
        error?.description == "\(folder)/shards/000.npy: row \(first) has the grey level 16, outside 0…15; "
          + "say how many levels there are, or give floating-point numbers")
    }
  }

  @Test("a class has the field of a data set of that class alone, to the last bit")
  func classes() throws {
    try withTemporaryFolder { folder in
      let data = SplitMix(seed: 63).symmetric([900, 9])
      let labels = SplitMix(seed: 64).uniform(900).map { Int($0 * 3) }
      let path = try write(Tensor(labels), "labels.npy", in: folder)
      let own = Tensor(labels.indices.filter { labels[$0] == 1 })
      let alone = try StoredPoints(shards(data.selecting(own), [own.count], in: folder))
      let (x, v) = (SplitMix(seed: 65).unit([4, 9]), SplitMix(seed: 66).unit([4, 9]))
      let expected = StoredField(alone, on: .edm).posterior(x, at: 0.4, along: v)
      let selection = try PointSelection(count: 900, labels: path, class: 1)
      let some = try StoredPoints(shards(data, [1, 600, 299], in: folder), selection: selection)
      #expect(some.count == own.count && some.rowCount == 900)
      expectIdentical(StoredField(some, on: .edm).posterior(x, at: 0.4, along: v), expected)
    }
  }

  @Test("without a point the field is that of the others, with weights and classes too", arguments: [0.01, 0.4])
  func leaveOneOut(_ time: Double) throws {
    try withTemporaryFolder { folder in
      let (count, dimension) = (600, 9)
      let data = SplitMix(seed: 67).symmetric([count, dimension])
      let weights = SplitMix(seed: 68).uniform([count]) + 0.1
      let labels = SplitMix(seed: 69).uniform(count).map { Int($0 * 2) }
      let (w, l) = (
        try write(weights, "weights.npy", in: folder), try write(Tensor(labels), "labels.npy", in: folder)
      )
      let rows = try shards(data, [100, 500], in: folder)
      let positions = [0, 99, 100, 257, 599]
      let x = data.selecting(Tensor(positions)) + 0.5 * time * SplitMix(seed: 70).unit([5, dimension])
      let v = SplitMix(seed: 71).unit([5, dimension])
      for (hasWeights, label) in [(false, Int?.none), (true, nil), (false, 1), (true, 1)] {
        let selection = try PointSelection(
          count: count, weights: hasWeights ? w : nil, labels: label == nil ? nil : l, class: label)
        let points = try StoredPoints(rows, selection: selection)
        let field = StoredField(points, on: .edm).leavingOut(positions)
        let found = field.posterior(x, at: time, along: v)
        for (query, position) in positions.enumerated() {
          let rest = Tensor((0..<count).filter { $0 != position && (label == nil || labels[$0] == label) })
          let alone = EmpiricalDenoiser(
            data: data.selecting(rest), weights: hasWeights ? weights.selecting(rest) : nil, on: .edm)
          let row = query..<(query + 1)
          let expected = alone.posterior(x[row], at: time, along: v[row])
          ScorefieldTestSupport.expectClose(found.logDensity[row], expected.logDensity, within: 1e-11)
          ScorefieldTestSupport.expectClose(found.score[row], expected.score, within: 1e-11)
          ScorefieldTestSupport.expectClose(found.hessianProduct![row], expected.hessianProduct!, within: 1e-10)
        }
        // Several draws of each point.
        let twice = field.denoise(.concatenated([x, x]), at: time)
        #expect(twice[5...].isIdentical(to: found.mean))
      }
    }
  }

  @Test("without the point that has nearly all of the weight the others keep theirs")
  func heavy() throws {
    try withTemporaryFolder { folder in
      let (data, weights) = (SplitMix(seed: 72).symmetric([40, 2]), Tensor((0..<40).map { $0 == 7 ? 1e17 : 1.0 }))
      let selection = try PointSelection(count: 40, weights: write(weights, "w.npy", in: folder))
      let points = try StoredPoints(shards(data, [40], in: folder), selection: selection)
      let x = data[7..<8]
      let rest = Tensor((0..<40).filter { $0 != 7 })
      ScorefieldTestSupport.expectClose(
        StoredField(points, on: .edm).leavingOut([7]).posterior(x, at: 0.3).logDensity,
        EmpiricalDenoiser(data: data.selecting(rest), on: .edm).posterior(x, at: 0.3).logDensity, within: 1e-11)
    }
  }

  @Test("second moments that cancel about the centre are asked for again, point by point")
  func cancelled() throws {
    try withTemporaryFolder { folder in
      // Two tight clusters far apart: a posterior within one is small beside its distance from the mean of all.
      let (count, dimension) = (2000, 12)
      let side = 2 * Tensor((0..<count).map { Double($0 % 2) }, shape: [count, 1]) - 1
      let data = side + 0.1 * SplitMix(seed: 90).unit([count, dimension])
      let positions = [4, 1001, 1998]
      let (x, v) = (
        (data.selecting(Tensor(positions)) + 0.5 * SplitMix(seed: 91).unit([3, dimension])).to(.float32),
        SplitMix(seed: 92).unit([3, dimension]).to(.float32)
      )
      let stored = StoredField(try StoredPoints(shards(data, [900, 1100], in: folder), type: .float32), on: .edm)
      let near = EmpiricalDenoiser(data: data.to(.float32), on: .edm)
      var (stream, passed) = (stored.stream(x, at: 0.5, along: v), 0)
      while let done = try stream.next() { passed += done }
      #expect(passed == 2 * count)
      for (found, expected) in [
        (stream.posterior, near.posterior(x, at: 0.5, along: v)),
        (
          stored.leavingOut(positions).posterior(x, at: 0.5, along: v),
          near.leavingOut(Tensor(positions)).posterior(x, at: 0.5, along: v)
        ),
      ] {
        ScorefieldTestSupport.expectClose(found.covarianceTrace, expected.covarianceTrace, within: 1e-5)
        ScorefieldTestSupport.expectClose(found.covarianceProduct!, expected.covarianceProduct!, within: 1e-5)
      }
      // One of three: the others keep what they have.
      let mixed = Tensor.concatenated([x[..<1], Tensor.zeros([1, dimension], type: .float32), x[1..<2]])
      let all = stored.posterior(mixed, at: 0.5, along: mixed)
      for row in 0..<3 {
        let alone = stored.posterior(mixed[row..<(row + 1)], at: 0.5, along: mixed[row..<(row + 1)])
        #expect(all.covarianceTrace[row..<(row + 1)].isIdentical(to: alone.covarianceTrace))
        #expect(all.score[row..<(row + 1)].isIdentical(to: alone.score))
      }
      // Several questions in the same passes.
      let asked = [
        FieldQuestion(mixed, at: 30), FieldQuestion(x, at: 0.5, along: v), FieldQuestion(mixed, at: 0.5),
      ]
      for (question, found) in zip(asked, stored.posteriors(asked)) {
        let alone = stored.posterior(question.x, at: question.time, along: question.direction)
        #expect(found.mean.isIdentical(to: alone.mean) && found.logDensity.isIdentical(to: alone.logDensity))
        #expect(found.covarianceTrace.isIdentical(to: alone.covarianceTrace))
      }
    }
  }

  @Test("a row that is no number is named, by its file and its place in it")
  func badRows() throws {
    try withTemporaryFolder { folder in
      func expect(_ value: Double, _ sentence: String, type: ElementType = .float64) throws {
        let data = Tensor((0..<40).map { $0 == 31 ? value : Double($0) }, shape: [20, 2])
        let rows = try shards(data, [10, 10], in: folder)
        let error = #expect(throws: ArrayFileError.self) { try StoredPoints(rows, type: type) }
        #expect(error?.description == "\(folder)/shards/001.npy: row 5 \(sentence)")
        // Who is of no class is not looked at.
        let labels = try write(Tensor((0..<20).map { $0 == 15 ? 1 : 0 }), "labels.npy", in: folder)
        let others = try PointSelection(count: 20, labels: labels, class: 0)
        #expect(try StoredPoints(rows, type: type, selection: others).count == 19)
      }
      try expect(.nan, "contains NaN; remove or replace such values")
      try expect(-.infinity, "contains infinity; remove or replace such values")
      try expect(1e101, "has values beyond 1e+100, whose squares float64 cannot hold; scale the data")
      try expect(
        1e16, "has values beyond 1000000000000000.0, whose squares float32 cannot hold; scale the data", type: .float32)
    }
  }

  @Test("a bad row far into a large file is named, and one in a file that is linked to")
  func lateRows() throws {
    try withTemporaryFolder { folder in
      var values = [Double](repeating: 0, count: 5000 * 1000)
      values[4321 * 1000 + 7] = .nan
      let rows = try shards(Tensor(values, shape: [5000, 1000]), [5000], in: folder)
      func expect(_ rows: StoredRows, _ name: String) {
        let error = #expect(throws: ArrayFileError.self) { try StoredPoints(rows) }
        #expect(error?.description == "\(folder)/shards/\(name): row 4321 contains NaN; remove or replace such values")
      }
      expect(rows, "000.npy")
      // Two links to one good file come before it.
      try FileManager.default.moveItem(atPath: "\(folder)/shards/000.npy", toPath: "\(folder)/shards/2.npy")
      try NPY.write(Tensor.zeros([3000, 1000]).hostArray, to: "\(folder)/shards/0.npy")
      try FileManager.default.linkItem(atPath: "\(folder)/shards/0.npy", toPath: "\(folder)/shards/1.npy")
      expect(try StoredRows("\(folder)/shards"), "2.npy")
    }
  }

  @Test("weights and labels that do not fit are named")
  func badSelections() throws {
    try withTemporaryFolder { folder in
      func expect(_ sentence: String, weights: Tensor? = nil, labels: Tensor? = nil, class label: Int? = nil) throws {
        let w = try weights.map { try write($0, "w.npy", in: folder) }
        let l = try labels.map { try write($0, "l.npy", in: folder) }
        let error = #expect(throws: ArrayFileError.self) {
          try PointSelection(count: 3, weights: w, labels: l, class: label)
        }
        #expect(error?.description == "\(folder)/\(sentence)")
      }
      try expect(
        "w.npy: has shape [2], but there are 3 rows; give one weight for each row, shape [3]",
        weights: Tensor([1.0, 2]))
      try expect(
        "w.npy: row 1 is the weight -1.0; give weights that are numbers from 0", weights: Tensor([1.0, -1, 2]))
      try expect(
        "w.npy: row 2 is the weight nan; give weights that are numbers from 0", weights: Tensor([1.0, 0, .nan]))
      try expect(
        "w.npy: has no weight above 0; give at least one row some weight", weights: Tensor([0.0, 0, 0]))
      try expect(
        "l.npy: holds float64 values; give whole numbers, one per row", labels: Tensor([0.0, 1, 2]), class: 1)
      try expect(
        "l.npy: leaves no row of class 7; give at least one row some weight", labels: Tensor([0, 1, 2]), class: 7)
    }
  }

  @Test("an answer that could not be had is NaN, and the field says why")
  func failures() throws {
    try withTemporaryFolder { folder in
      let data = SplitMix(seed: 73).symmetric([20, 2])
      let points = try StoredPoints(shards(data, [10, 10], in: folder))
      let (field, x) = (StoredField(points, on: .edm), data[..<3])
      let one = field.leavingOut([0, 1, 2])
      #expect(field.posterior(x, at: 1).logDensity.isFinite().all())
      #expect(truncate("\(folder)/shards/001.npy", 200) == 0)
      let error = ArrayFileError(
        "\(folder)/shards/001.npy", .badData, "has changed since it was opened, as was found at row 0",
        repair: "leave it alone until the end, and start again")
      var stream = field.stream(x, at: 1)
      #expect(throws: error) { try stream.next() }
      #expect(field.failure == nil)
      #expect(field.denoise(x, at: 1).isNaN().all() && field.denoise(x, at: 1).shape == [3, 2])
      #expect(field.failure == error)
      #expect(throws: error) { try field.check() }
      let moments = field.posterior(x, at: 1, along: x)
      #expect(
        moments.logDensity.isNaN().all() && moments.hessianProduct!.isNaN().all() && moments.laplacian.isNaN().all())
      #expect(one.failure == error && one.denoise(x, at: 1).isNaN().all())
    }
  }

  @Test("what cannot be asked stops the process and says why")
  func refusals() async {
    func stops(_ expected: String, _ result: ExitTest.Result?) {
      let message = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
      #expect(message.contains(expected), "\(message)")
    }
    stops(
      "leavingOut([1]): a point is the whole data set, without it nothing is left",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try withTemporaryFolder { folder in
          try NPY.write(HostArray([0, 0], shape: [1, 2]), to: "\(folder)/x.npy")
          _ = StoredField(try StoredPoints(StoredRows("\(folder)/x.npy")), on: .edm).leavingOut([0])
        }
      })
    stops(
      "posterior([3, 2]): 2 points are to be left out, one per query",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try withTemporaryFolder { folder in
          try NPY.write(HostArray([0, 0, 1, 1], shape: [2, 2]), to: "\(folder)/x.npy")
          let field = StoredField(try StoredPoints(StoredRows("\(folder)/x.npy")), on: .edm).leavingOut([0, 1])
          _ = field.denoise(Tensor.zeros([3, 2]), at: 1)
        }
      })
    stops(
      "stored points have no derivatives; ask for products along a direction",
      await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        try withTemporaryFolder { folder in
          try NPY.write(HostArray([0, 0, 1, 1], shape: [2, 2]), to: "\(folder)/x.npy")
          let field = StoredField(try StoredPoints(StoredRows("\(folder)/x.npy")), on: .edm)
          _ = jvp(at: Tensor.zeros([1, 2]), along: Tensor.ones([1, 2])) { field.denoise($0, at: 1) }
        }
      })
  }
}
