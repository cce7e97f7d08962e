// Names the speaker of a 16-bit WAV clip on iOS or macOS. Not run by the tests.
// Needs the Swift package or pod onnxruntime-objc of ONNX Runtime.
import Foundation
import OnnxRuntimeBindings

final class Identifier {
    private let session: ORTSession
    private let metadata: [String: Any]

    init(model: URL) throws {
        let environment = try ORTEnv(loggingLevel: .error)
        session = try ORTSession(env: environment, modelPath: model.path, sessionOptions: nil)
        // This API cannot read the metadata, a JSON object; it stands in the file as it is.
        let file = try Data(contentsOf: model)
        var at = file.range(of: Data("\n\u{7}voxedge\u{12}".utf8), options: .backwards)!.upperBound
        var size = 0, shift = 0 // a number of protobuf: 7 bits a byte, the lowest first
        repeat { size |= Int(file[at] & 127) << shift; shift += 7; at += 1 } while file[at - 1] > 127
        metadata = try JSONSerialization.jsonObject(with: file[at..<(at + size)]) as! [String: Any]
    }

    /// The speaker's name and probability, or nil for nobody who is known.
    func identify(wav: Data) throws -> (String, Float)? {
        let rate = metadata["sample_rate"] as! Int
        let halves = wav.withUnsafeBytes { Array($0.bindMemory(to: Int16.self)) }
        precondition(halves[11] == 1 && halves[17] == 16 && Int(UInt16(bitPattern: halves[12])) + 65536 * Int(halves[13]) == rate)
        var samples = halves.dropFirst(22).map { Float($0) / 32768 }
        let bytes = NSMutableData(bytes: &samples, length: samples.count * 4)
        let pcm = try ORTValue(tensorData: bytes, elementType: .float, shape: [1, NSNumber(value: samples.count)])
        let found = try session.run(withInputs: ["pcm": pcm], outputNames: ["logits", "probabilities"], runOptions: nil)
        let logits = try floats(found["logits"]!), probabilities = try floats(found["probabilities"]!)
        if margin(logits, Double(samples.count) / Double(rate)) < 0 { return nil }
        let best = logits.indices.max { logits[$0] < logits[$1] }!
        return ((metadata["labels"] as! [String])[best], probabilities[best])
    }

    private func floats(_ value: ORTValue) throws -> [Float] {
        try (value.tensorData() as Data).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    /// The log-odds that the clip is by one of the speakers at all, less those of 5 % of strangers.
    private func margin(_ logits: [Float], _ seconds: Double) -> Double {
        let t = metadata["thresholds"] as! [String: Any]
        guard let least = (t["accept"] as? [String: Any])?["0.05"] as? Double else { return 0 } // always a name
        let top = logits.sorted(by: >).prefix(6).map(Double.init)
        let lead = top[0] - top.dropFirst().reduce(0, +) / Double(top.count - 1)
        let length = log(min(seconds, metadata["window_seconds"] as! Double))
        let weight = { (name: String) in t[name] as! Double }
        return weight("bias") + weight("best") * top[0] + weight("lead") * lead + weight("log_seconds") * length - least
    }
}
