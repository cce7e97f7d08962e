// Names the speaker of a 16-bit WAV clip on Android or the JVM. Not run by the tests.
// Needs com.microsoft.onnxruntime:onnxruntime-android (or onnxruntime) and org.json.
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import org.json.JSONObject
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import kotlin.math.ln
import kotlin.math.min

class Identifier(model: ByteArray) {
    private val environment = OrtEnvironment.getEnvironment()
    private val session = environment.createSession(model)
    private val metadata = JSONObject(session.metadata.customMetadata.getValue("voxedge"))

    /** The speaker's name and probability, or null for nobody who is known. */
    fun identify(wav: ByteArray): Pair<String, Float>? {
        val bytes = ByteBuffer.wrap(wav).order(ByteOrder.LITTLE_ENDIAN)
        val rate = metadata.getInt("sample_rate")
        require(bytes.getShort(22).toInt() == 1 && bytes.getShort(34).toInt() == 16 && bytes.getInt(24) == rate) {
            "not a plain 16-bit mono WAV file of $rate Hz"
        }
        val samples = FloatArray((wav.size - 44) / 2) { bytes.getShort(44 + 2 * it) / 32768f }
        val shape = longArrayOf(1, samples.size.toLong())
        OnnxTensor.createTensor(environment, FloatBuffer.wrap(samples), shape).use { pcm ->
            session.run(mapOf("pcm" to pcm), setOf("logits", "probabilities")).use { found ->
                val (logits, probabilities) = listOf("logits", "probabilities").map { name ->
                    @Suppress("UNCHECKED_CAST")
                    (found.get(name).get().value as Array<FloatArray>)[0]
                }
                if (margin(logits, samples.size.toDouble() / rate) < 0) return null
                val best = logits.indices.maxByOrNull { logits[it] }!!
                return metadata.getJSONArray("labels").getString(best) to probabilities[best]
            }
        }
    }

    /** The log-odds that the clip is by one of the speakers at all, less those of 5 % of strangers. */
    private fun margin(logits: FloatArray, seconds: Double): Double {
        val t = metadata.getJSONObject("thresholds")
        val least = t.optJSONObject("accept")?.optDouble("0.05") ?: Double.NaN
        if (least.isNaN()) return 0.0 // no threshold: always a name
        val top = logits.sortedDescending().take(6)
        val lead = top[0] - top.drop(1).average()
        val length = ln(min(seconds, metadata.getDouble("window_seconds")))
        return t.getDouble("bias") + t.getDouble("best") * top[0] + t.getDouble("lead") * lead +
            t.getDouble("log_seconds") * length - least
    }
}
