import Foundation
import Scorefield
import ScorefieldTestSupport
import Testing

@Suite struct CheckpointFolderTests {
  @Test("what was written is read: weights, configuration and state, bit for bit")
  func roundTrip() throws {
    try withTemporaryFolder { path in
      // The folders around it are made, and a slash at the end means nothing.
      let folder = CheckpointFolder("\(path)/runs/a/")
      let writer = try CheckpointWriter(folder)
      try writer.writeConfiguration(MLP.Configuration(dimension: 2, width: 8))
      let weights: [(name: String, tensor: Tensor)] = [("b", Tensor([1.5, -2])), ("a", Tensor([7]))]
      try writer.writeModel(weights, metadata: ["average": "0.999"])
      try writer.writeState(step: 12, tensors: uniformState(12), info: Note())

      #expect(
        try String(contentsOfFile: "\(path)/runs/a/config.json", encoding: .utf8) == """
          {
            "conditionWidth" : 0,
            "depth" : 4,
            "dimension" : 2,
            "width" : 8
          }

          """)
      #expect(try folder.readConfiguration(as: MLP.Configuration.self) == MLP.Configuration(dimension: 2, width: 8))
      let model = try folder.readModel()
      #expect(model.metadata == ["average": "0.999"] && Set(model.names) == ["a", "b"])
      #expect(try Tensor(model.array(named: "b")).doubles == [1.5, -2])

      let state = try #require(try folder.latestState(as: Note.self))
      #expect(state.step == 12 && state.info == Note() && state.damaged.isEmpty)
      #expect(state.path == "\(path)/runs/a/state/12.safetensors")
      #expect(isUniform(state.tensors, 12))
      var (saved, fresh) = (Generator(restoring: state.tensors["generator"]!), Generator(seed: 12))
      #expect(saved.next() == fresh.next())
      #expect(try names(in: "\(path)/runs/a") == ["config.json", "model.safetensors", "state"])
    }
  }

  @Test("where nothing was written there is no state")
  func nothing() throws {
    try withTemporaryFolder { path in
      #expect(try CheckpointFolder("\(path)/none").latestState(as: Note.self) == nil)
      #expect(try CheckpointFolder(path).latestState(as: Note.self) == nil)
      _ = try CheckpointWriter(CheckpointFolder(path))
      // Other files are nobody's business.
      for name in ["01.safetensors", "-1.safetensors", "x.safetensors", "3.json", "99999999999999999999.safetensors"] {
        try put([1], at: "\(path)/state/\(name)")
      }
      #expect(try CheckpointFolder(path).latestState(as: Note.self) == nil)
    }
  }

  @Test("the last two states are kept, by their numbers, and later ones go")
  func pruning() throws {
    try withTemporaryFolder { path in
      let folder = CheckpointFolder(path)
      let writer = try CheckpointWriter(folder)
      for step in [0, 8, 9, 10, 11] { try writer.writeState(step: step, tensors: uniformState(step), info: step) }
      #expect(try names(in: "\(path)/state") == ["10.safetensors", "11.safetensors"])
      #expect(try folder.latestState(as: Int.self)?.info == 11)
      try writer.writeState(step: 10, tensors: uniformState(10), info: -10)
      #expect(try names(in: "\(path)/state") == ["10.safetensors"])
      #expect(try folder.latestState(as: Int.self)?.info == -10)
      try writer.removeStates()
      #expect(try names(in: "\(path)/state") == [] && folder.latestState(as: Int.self) == nil)
    }
  }

  @Test("what a killed writer left is swept, and nothing else")
  func sweeping() throws {
    try withTemporaryFolder { path in
      _ = try CheckpointWriter(CheckpointFolder(path))
      for name in [".checkpoint-1", "state/.checkpoint-2", ".scorefield-3", "notes.txt"] {
        try put([1], at: "\(path)/\(name)")
      }
      _ = try CheckpointWriter(CheckpointFolder(path))
      #expect(try names(in: path) == [".scorefield-3", "notes.txt", "state"] && names(in: "\(path)/state") == [])
    }
  }

  @Test("a folder has one writer at a time")
  func claim() throws {
    try withTemporaryFolder { path in
      let folder = CheckpointFolder(path)
      do {
        let writer = try CheckpointWriter(folder)
        let error = #expect(throws: ArrayFileError.self) { try CheckpointWriter(folder) }
        #expect(
          error?.description
            == "\(path): another training is writing into it; wait until it ends, or give another folder")
        #expect(error?.category == .cannotWrite)
        try writer.writeState(step: 1, tensors: [], info: 1)
      }
      try CheckpointWriter(folder).writeState(step: 2, tensors: [], info: 2)
      #expect(try folder.latestState(as: Int.self)?.step == 2)
    }
  }

  @Test("a newest state that is cut short anywhere is passed over, and the value says so")
  func cutShort() throws {
    try withTemporaryFolder { path in
      let folder = CheckpointFolder(path)
      let writer = try CheckpointWriter(folder)
      for step in [100, 200] { try writer.writeState(step: step, tensors: uniformState(step), info: Note()) }
      let whole = try contents(of: "\(path)/state/200.safetensors")
      #expect(try folder.latestState(as: Note.self)?.step == 200)
      for length in stride(from: 0, to: whole.count, by: 7) {
        try put(Array(whole[..<length]), at: "\(path)/state/200.safetensors")
        let state = try #require(try folder.latestState(as: Note.self))
        #expect(state.step == 100 && isUniform(state.tensors, 100) && state.damaged.count == 1)
      }
      try put(Array(whole.dropLast()), at: "\(path)/state/200.safetensors")
      let state = try folder.latestState(as: Note.self)
      #expect(
        state?.damaged.map(\.description) == [
          "\(path)/state/200.safetensors: its tensors take 5256 bytes but 5255 follow its header: "
            + "it ends inside row 5055 of 'generator'; get the whole file again"
        ])
      // What is written next takes its place.
      try writer.writeState(step: 101, tensors: uniformState(101), info: Note())
      #expect(try names(in: "\(path)/state") == ["100.safetensors", "101.safetensors"])
    }
  }

  @Test("a newest state that the disk changed is passed over, whichever byte it is")
  func changed() throws {
    try withTemporaryFolder { path in
      let folder = CheckpointFolder(path)
      let writer = try CheckpointWriter(folder)
      for step in [100, 200] { try writer.writeState(step: step, tensors: uniformState(step), info: Note()) }
      let whole = try contents(of: "\(path)/state/200.safetensors")
      for place in stride(from: 0, to: whole.count, by: 7) {
        var bytes = whole
        bytes[place] ^= 1
        try put(bytes, at: "\(path)/state/200.safetensors")
        let state = try #require(try folder.latestState(as: Note.self))
        // A space between the header and the data means nothing, and may become another such.
        #expect(state.step == 100 && state.damaged.count == 1, "byte \(place)")
      }
      var zeroed = whole
      zeroed.replaceSubrange((whole.count - 64)..., with: repeatElement(0, count: 64))
      try put(zeroed, at: "\(path)/state/200.safetensors")
      #expect(
        try folder.latestState(as: Note.self)?.damaged.map(\.description) == [
          "\(path)/state/200.safetensors: has other contents than were written; "
            + "check the disk, and restore it from a copy"
        ])
      try put(contents(of: "\(path)/state/100.safetensors"), at: "\(path)/state/200.safetensors")
      #expect(
        try folder.latestState(as: Note.self)?.damaged.map(\.description) == [
          "\(path)/state/200.safetensors: is the state of step '100'; give it that name"
        ])
      try SafeTensors.write([("a", Tensor([1]).hostArray)], to: "\(path)/state/200.safetensors")
      #expect(
        try folder.latestState(as: Note.self)?.damaged.map(\.description) == [
          "\(path)/state/200.safetensors: is not a state of a training; move it away"
        ])
    }
  }

  @Test("a folder whose states are all damaged says so")
  func allDamaged() throws {
    try withTemporaryFolder { path in
      let folder = CheckpointFolder(path)
      _ = try CheckpointWriter(folder)
      try put([], at: "\(path)/state/9.safetensors")
      let one = #expect(throws: ArrayFileError.self) { try folder.latestState(as: Note.self) }
      #expect(
        one?.description
          == "\(path)/state: its only state is damaged (9.safetensors is empty); "
          + "restore one from a copy, or start afresh in another folder")
      try put([1, 2], at: "\(path)/state/10.safetensors")
      let two = #expect(throws: ArrayFileError.self) { try folder.latestState(as: Note.self) }
      #expect(
        two?.description
          == "\(path)/state: all of its 2 states are damaged (10.safetensors is too short for a .safetensors file); "
          + "restore one from a copy, or start afresh in another folder")
      #expect(two?.category == .badData)
    }
  }

  @Test("JSON of another form says what is wrong with it")
  func otherJSON() throws {
    try withTemporaryFolder { path in
      let folder = CheckpointFolder(path)
      let writer = try CheckpointWriter(folder)
      try writer.writeState(step: 1, tensors: uniformState(1), info: ["text": "x"])
      let state = #expect(throws: ArrayFileError.self) { try folder.latestState(as: Note.self) }
      #expect(
        state?.description
          == "\(path)/state/1.safetensors: has no 'loss'; "
          + "go on with the version that wrote it, or start afresh in another folder")

      let sentences: [(String, String)] = [
        (#"{"dimension": 2"#, "is not JSON, or holds a number that does not fit"), ("[1]", "is JSON of another form"),
        (#"{"dimension": 2, "width": "wide", "depth": 1, "conditionWidth": 0}"#, "its 'width' is no Int"),
        (#"{"dimension": 2}"#, "has no 'width'"), (#"{"dimension": null}"#, "its 'dimension' is no Int"),
        (#"{"dimension": 2.5}"#, "is not JSON, or holds a number that does not fit"),
      ]
      for (text, sentence) in sentences {
        try put(Array(text.utf8), at: folder.configurationPath)
        let error = #expect(throws: ArrayFileError.self) { try folder.readConfiguration(as: MLP.Configuration.self) }
        #expect(
          error?.description == "\(path)/config.json: \(sentence); restore the file that training wrote")
      }
      let missing = #expect(throws: ArrayFileError.self) { try folder.readModel() }
      #expect(missing?.description == "\(path)/model.safetensors: no such file; check the path")
      #expect(missing?.category == .missing)
    }
  }

  @Test("numbers that are not finite come back")
  func notFinite() throws {
    try withTemporaryFolder { path in
      let folder = CheckpointFolder(path)
      try CheckpointWriter(folder).writeState(step: 1, tensors: [], info: [Double.nan, .infinity, -.infinity, 1e-300])
      let info = try #require(try folder.latestState(as: [Double].self)).info
      #expect(info[0].isNaN && Array(info[1...]) == [.infinity, -.infinity, 1e-300])
    }
  }

  @Test("a file in place of the folder, or of a folder around it, is a clear error")
  func fileInPlace() throws {
    try withTemporaryFolder { path in
      try put([1], at: "\(path)/file")
      for inside in ["file", "file/a/b"] {
        let error = #expect(throws: ArrayFileError.self) { try CheckpointWriter(CheckpointFolder("\(path)/\(inside)")) }
        #expect(error?.description == "\(path)/file: is not a folder; give another path, or move that file away")
        #expect(error?.category == .cannotWrite)
      }
      let reading = #expect(throws: ArrayFileError.self) {
        try CheckpointFolder("\(path)/file").latestState(as: Note.self)
      }
      #expect(reading?.description == "\(path)/file: is not a folder; give another path, or move that file away")
      #expect(reading?.category == .badData)
      try put([1], at: "\(path)/state")
      let state = #expect(throws: ArrayFileError.self) { try CheckpointFolder(path).latestState(as: Note.self) }
      #expect(state?.description == "\(path)/state: is not a folder; give another path, or move that file away")
      #expect(try contents(of: "\(path)/file") == [1])
    }
  }

  @Test("a folder that vanished is a clear error")
  func vanished() throws {
    try withTemporaryFolder { path in
      let writer = try CheckpointWriter(CheckpointFolder("\(path)/run"))
      try FileManager.default.removeItem(atPath: "\(path)/run")
      let error = #expect(throws: ArrayFileError.self) { try writer.writeState(step: 1, tensors: [], info: 1) }
      #expect(
        error?.description == "\(path)/run/state/1.safetensors: its folder does not exist; make the folder first")
    }
  }
}
